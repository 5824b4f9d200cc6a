"""How Sphinx builds the pages in this folder: ``make docs``."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, get_origin

HERE = Path(__file__).parent
LONGEST_VALUE = 120
"""Characters of a constant's value that the reference shows."""
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent / "src")]

from numpydoc.numpydoc import mangle_signature
from sphinx import addnodes
from sphinx.application import Sphinx

import maskmixadv


def is_listed(name: str) -> bool:
    """Whether a name at the package's root is a class or a function; its modules and constants have their own pages."""
    return callable(getattr(maskmixadv, name))


project = "maskmixadv"
author = "The maskmixadv developers"
copyright = author
version = release = maskmixadv.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    "outside",
]
exclude_patterns = ["_build", "_templates", "**/.ipynb_checkpoints"]
templates_path = ["_templates"]
root_doc = "index"
default_role = "code"
highlight_language = "none"
nitpicky = True
# Types in signatures are written as in the source; those of other libraries have no page here, and nothing is fetched.
nitpick_ignore_regex = [("py:.*", r"(?!maskmixadv\.).*")]
# A public name has an entry at the root and one in its room; a bare name in an annotation may mean either.
suppress_warnings = ["ref.python"]

# Markdown and notebooks
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # a notebook is stored as it was executed, and a test executes it

# The API reference
autosummary_generate = True
autosummary_context = {"public": [name for name in getattr(maskmixadv, "__all__", ()) if is_listed(name)]}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# The look
html_theme = "pydata_sphinx_theme"
html_title = f"maskmixadv {version}"
html_static_path = ["_static"]
html_css_files = ["house.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "maskmixadv"},
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "navigation_depth": 3,
    "show_nav_level": 1,
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "footer_start": ["copyright"],
    "footer_end": [],
    "back_to_top_button": False,
}
html_sidebars = {"index": [], "install": [], "changelog": [], "contributing": []}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"
copybutton_line_continuation_character = "\\"


def skip(app: Sphinx, what: str, name: str, obj: object, skipped: bool, options: object) -> bool | None:  # noqa: ARG001
    """Leave out names of types, which autodoc takes for classes, and fields of named tuples, which have no text.

    ``Shape = tuple[int, int]`` is such a name. A named tuple's signature and *Attributes* tell its fields.
    """
    return True if get_origin(obj) or str(getattr(obj, "__doc__", "")).startswith("Alias for field") else None


def shorten(app: Sphinx, domain: str, objtype: str, contentnode: Any) -> None:  # noqa: ANN401, ARG001
    """Leave out values of constants that are long, or places on the machine that builds these pages."""
    for signature in contentnode.parent.findall(addnodes.desc_signature):
        for part in list(signature.findall(addnodes.desc_annotation)):
            value = part.astext().strip()
            if value.startswith("=") and (len(value) > LONGEST_VALUE or str(HERE.parent) in value):
                part.parent.remove(part)


def type_name(app: Sphinx, env: object, node: Any, shown: Any) -> Any:  # noqa: ANN401, ARG001
    """Show the names of types in signatures, such as a type variable's, without a link: they have no entry."""
    module, _, name = node["reftarget"].rpartition(".")
    if node.get("refdomain") != "py" or not module.startswith("maskmixadv"):
        return None
    try:
        found = getattr(import_module(module), name, None)
    except ImportError:
        return None
    return None if found is None or isinstance(found, type) else shown


def setup(app: Sphinx) -> None:
    """Connect what is above; disconnect what reads signatures out of docstrings, which fails on built-in types."""
    app.connect("autodoc-skip-member", skip)
    app.connect("missing-reference", type_name)
    app.connect("object-description-transform", shorten)
    for listener in list(app.events.listeners["autodoc-process-signature"]):
        if listener.handler is mangle_signature:
            app.disconnect(listener.id)
