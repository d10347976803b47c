"""The watchdog: supervisord's event listener, which knows who is ready and when to give up."""
