"""Does every file end well, whatever system call a role dies at?

`python -m tests.support.sweep` kills roles at chosen calls and checks everything after each; `order` proves from a
trace what a kill cannot show, for it keeps the page cache; `defects` are known-bad products that must be found out.
"""
