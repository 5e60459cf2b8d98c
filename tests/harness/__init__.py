"""What the black-box tests share: the server's process, the real clients, and a strict reading of every answer.

It knows the wire and the command line, and nothing of the server's inside.
"""
