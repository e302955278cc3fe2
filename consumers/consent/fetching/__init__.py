"""What is asked by itself once a patient consented: medication and checkup data, only as far as was granted."""
