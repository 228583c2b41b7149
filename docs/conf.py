"""How Sphinx makes a site of these pages (`make site`); they stay plain Markdown, which a forge shows as it is."""

import re

project = "lmkd"
extensions = ["myst_parser"]
myst_heading_anchors = 4  # as on a forge: [text](page.md#heading)
nitpicky = True
html_theme = "alabaster"
html_theme_options = {"description": "Low-memory manager for boards without a swap disk", "page_width": "60em"}
html_copy_source = False
html_show_copyright = False
html_use_index = False


def setup(app):
    app.connect("source-read", read)


def read(app, page, source):
    """What Markdown cannot say: the order of the pages is that of index.md's links; others of the tree are files."""
    source[0] = re.sub(r"\]\((\.\./[^)#]+\.md)(#[^)]*)?\)", r"](path:\1)", source[0])
    if page == "index":
        names = dict.fromkeys(re.findall(r"\]\(([\w-]+)\.md\)", source[0]))
        source[0] += "\n```{toctree}\n:hidden:\n\n" + "\n".join(names) + "\n```\n"
