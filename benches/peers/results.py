"""Sections of a Markdown file between two comments, so that each can be written anew by itself."""


def write_section(path, name, title, body, behind=""):
    """Replaces what stands between the comments of `name`, or adds it behind the section `behind`, or at the end."""
    start, end = f"<!-- {name}: start -->", f"<!-- {name}: end -->"
    text = path.read_text() if path.exists() else "# Results\n"
    block = f"{start}\n{body.strip()}\n{end}"
    if start in text and end in text:
        head, rest = text.split(start, 1)
        text = head + block + rest.split(end, 1)[1]
    elif behind and (end_of_other := f"<!-- {behind}: end -->") in text:
        head, rest = text.split(end_of_other, 1)
        text = f"{head}{end_of_other}\n\n## {title}\n\n{block}{rest}"
    else:
        text = f"{text.rstrip()}\n\n## {title}\n\n{block}\n"
    path.write_text(text)
