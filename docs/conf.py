"""Settings of the documentation: sphinx-build docs docs/_build."""

import os
import re
import sys
from pathlib import Path

import sklearn_ae

os.environ.setdefault("MPLBACKEND", "Agg")
root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root / "docs" / "_ext"))

project = "sklearn_ae"
author = "The sklearn_ae developers"
copyright = "the sklearn_ae developers"
version = release = sklearn_ae.__version__

extensions = [
    "gallery_figure",
    "numpydoc",
    "results",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
default_role = "literal"

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc gives the types
numpydoc_show_class_members = False  # the template lists them
numpydoc_xref_param_type = False

sphinx_gallery_conf = {
    "examples_dirs": str(root / "examples"),
    "gallery_dirs": "auto_examples",
    "abort_on_example_error": True,
    "capture_repr": ("_repr_html_",),  # no "<... object at 0x...>"
    "show_memory": False,
    "write_computation_times": False,
    "subsection_order": [
        f"../examples/{section}"
        for section in (
            "pca",
            "outliers_and_gaps",
            "few_labels",
            "search",
            "generation",
            "features",
        )
    ],
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "backreferences_dir": "generated/examples",
    "doc_module": ("sklearn_ae",),
    "parallel": 2,
}

html_theme = "pydata_sphinx_theme"
html_title = "sklearn_ae"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
}
html_sidebars = {
    "index": [],
    "quick_start": [],
    "user_guide/index": [],
    "coming_from": [],
    "persistence": [],
    "benchmarks": [],
    "add_penalty": [],
}
suppress_warnings = ["config.cache"]  # sphinx-gallery's settings cannot be pickled


def unlink(app, what, name, obj, options, lines):
    """Leave out references of inherited docstrings to scikit-learn's user guide."""
    lines[:] = [re.sub(r":ref:`([^<`]+) <[^>]+>`", r"\1", line) for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", unlink)
