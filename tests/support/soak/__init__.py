"""Does every promise hold for half an hour of faults? First the fault matrix, then the crash-point sweep."""
