"""Sections of a Markdown file between two comments, so that each can be written anew by itself."""


def write_section(path, name, title, body):
    """Replaces what stands between the comments of `name`, or adds the section at the end."""
    start, end = f"<!-- {name}: start -->", f"<!-- {name}: end -->"
    text = path.read_text() if path.exists() else "# Results\n"
    block = f"{start}\n{body.strip()}\n{end}"
    if start in text and end in text:
        head, rest = text.split(start, 1)
        text = head + block + rest.split(end, 1)[1]
    else:
        text = f"{text.rstrip()}\n\n## {title}\n\n{block}\n"
    path.write_text(text)
