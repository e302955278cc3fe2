"""How does a file of the eligibility terminal (資格確認端末) become a typed value, and back?

Names, bytes, trees, records, requests: nothing here knows a queue, a store or a chart.
"""
