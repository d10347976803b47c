"""What builds the container's image, beside the Dockerfile."""
