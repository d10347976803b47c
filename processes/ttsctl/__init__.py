"""ttsctl, the operator's command: asks the gateway and supervisord over their Unix sockets."""
