"""Everything that is generated from the protobuf files comes from here.

``descriptors`` reads what buf compiled into a ``model``; an *emitter* is one module in ``emitters`` with one function from the
model to files (path from the repository's root → text). The generator decides nothing about events: it refuses a contract that
contradicts itself, and writes down what the protobuf options say. Frames are defined by the gateway's structs; the one emitter
that describes them reads those.
"""
