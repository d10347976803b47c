"""What `ttsctl doctor` looks at, a module for each subject with its `CHECKS` at the end."""
