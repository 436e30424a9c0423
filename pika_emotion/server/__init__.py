"""``pika-emotion serve``: the taggers and their deadline behind HTTP."""
