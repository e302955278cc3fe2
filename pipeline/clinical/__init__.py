"""What do medication (薬剤情報) and checkup (特定健診情報) answers say, row by row? Pure.

Rows are made from the typed record each time they are read or delivered, never kept beside it: one seal, one truth
(docs/decisions/0006). Nothing of a record is dropped; what looks like a repetition is marked.
"""
