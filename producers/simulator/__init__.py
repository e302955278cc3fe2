"""What would a clinic's terminal (資格確認端末) and the service behind it have written?

Invented people, the files of their visits, and answers to what is asked; the same seed gives the same bytes.
"""
