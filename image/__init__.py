"""What builds the container's image, beside the Dockerfile, and what is said of one that is released."""
