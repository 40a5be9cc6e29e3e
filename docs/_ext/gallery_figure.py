"""``.. gallery-figure:: SECTION/plot_NAME N``: a picture of an example, with a caption.

The caption ends with a link to the example that drew it. Where examples are not run
(``-D plot_gallery=0``) there is none, and the caption is left, with its link.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.parsers.rst.directives.images import Figure
from sphinx.util.docutils import SphinxDirective


class GalleryFigure(SphinxDirective, Figure):
    """A figure that sphinx-gallery made in the same build."""

    required_arguments = 2
    final_argument_whitespace = False
    has_content = True
    option_spec = {
        "alt": directives.unchanged_required,
        "figclass": directives.class_option,
        "width": directives.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        example, number = self.arguments
        section, name = example.split("/")
        path = f"auto_examples/{section}/images/sphx_glr_{name}_{int(number):03}.png"
        label = f"sphx_glr_auto_examples_{section}_{name}.py"
        self.content.disconnect()  # or the line would be in what is around, too
        self.content.append(f"From :ref:`{label}`.", "", 0)
        file = Path(self.env.app.srcdir) / path
        self.env.note_dependency(str(file))  # read again when it has been drawn
        drawn = self.env.app.config.sphinx_gallery_conf["plot_gallery"]
        if not drawn and not file.is_file():
            classes = self.options.get("figclass", [])
            return [
                nodes.container("", *self.parse_content_to_nodes(), classes=classes)
            ]
        self.arguments = [f"/{path}"]
        return super().run()


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("gallery-figure", GalleryFigure)
    return {"parallel_read_safe": True}
