"""What happens to PCM after the engine: joining, stretching, resampling and encoding."""
