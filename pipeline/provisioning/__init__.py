"""What should the group's broker be like, what is it like, and how does the one become the other?"""
