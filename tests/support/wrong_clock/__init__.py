"""What a process needs whose clock is not the machine's."""
