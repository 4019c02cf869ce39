"""The page as a Gradio application, without assets of other hosts, telemetry, or an interface for programs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from tellapart.inspection.page import shorten
from tellapart.playground.examples import Example
from tellapart.playground.gate import Gate
from tellapart.playground.page import style
from tellapart.playground.playground import Playground

# Gradio reads both when it is imported, which takes seconds: only for this verb.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio as gr

_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
_MONOSPACED = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "monospace")

_EXAMPLE_LENGTH = 70

_ON_LOAD = """() => {
  document.querySelector("#tp-text textarea")?.focus();
  document.getElementById("tp-answers")?.setAttribute("aria-live", "polite");
  document.getElementById("tp-reasons")?.setAttribute("aria-live", "polite");
}"""
"""Puts the cursor into the box, and has screen readers announce what is answered."""


def create_app(playground: Playground) -> FastAPI:
    """Builds the application.

    Args:
        playground: The models.

    Raises:
        UserError: The token file cannot be used.
    """
    settings = playground.settings
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    gr.mount_gradio_app(
        app,
        create_page(playground),
        path="/",
        theme=_theme(),
        css=style(),
        js=_ON_LOAD,
        footer_links=[],
        run_history=False,
        show_error=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        max_file_size=1,
    )
    app.add_middleware(Gate, host=settings.host, tokens=settings.tokens())
    return app


def _theme() -> Any:
    """Returns Gradio's theme in the colours of the reports, with fonts of the system: its own load from Google."""
    colours = {
        "body_background_fill": ("#f7f8fa", "#14181d"),
        "block_background_fill": ("#ffffff", "#1c2229"),
        "input_background_fill": ("#ffffff", "#14181d"),
        "button_primary_background_fill": ("#2171b5", "#2171b5"),
        "button_primary_background_fill_hover": ("#1a5c94", "#1a5c94"),
        "button_primary_text_color": ("#ffffff", "#ffffff"),
    }
    values = {name: light for name, (light, _) in colours.items()}
    values |= {f"{name}_dark": dark for name, (_, dark) in colours.items()}
    theme = gr.themes.Default(primary_hue="blue", neutral_hue="slate", font=_FONTS, font_mono=_MONOSPACED)
    return theme.set(**values)


def create_page(playground: Playground) -> gr.Blocks:
    """Builds the components and their events."""
    private: dict[str, Any] = {"api_visibility": "private"}
    with gr.Blocks(title="tellapart playground", analytics_enabled=False) as page:
        gr.HTML(playground.heading, apply_default_css=False)
        boxes = _boxes(playground)
        with gr.Row(elem_classes="tp-buttons"):
            classify = gr.Button("Classify", variant="primary", elem_id="tp-classify", scale=0, min_width=130)
            explain = gr.Button("Explain", elem_id="tp-explain", scale=0, min_width=130)
        examples = playground.examples()
        buttons = _example_buttons(examples)
        answers = gr.HTML("", elem_id="tp-answers", apply_default_css=False)
        reasons = gr.HTML("", elem_id="tp-reasons", apply_default_css=False)

        def answered(text: str, second: str) -> tuple[str, str]:
            return playground.answer(text, second), ""

        def explained(text: str, second: str) -> Iterator[tuple[str, str]]:
            answer = playground.answer(text, second)
            for found in playground.reasons(text, second):
                yield answer, found

        shown = [answers, reasons]
        explaining = explain.click(
            explained, boxes, shown, concurrency_limit=1, show_progress="minimal", **private
        )
        answering: dict[str, Any] = {
            "fn": answered,
            "inputs": boxes,
            "outputs": shown,
            "concurrency_limit": 1,
            "concurrency_id": "answers",
            "show_progress": "hidden",
            **private,
        }
        gr.on(
            [classify.click, *(box.submit for box in boxes)],
            cancels=[explaining],
            trigger_mode="always_last",
            **answering,
        )
        for button, example in zip(buttons, examples, strict=True):
            filled = button.click(
                _filling(example), None, boxes, cancels=[explaining], show_progress="hidden", **private
            )
            filled.then(**answering)
    page.queue(api_open=False, default_concurrency_limit=1)
    return page


def _boxes(playground: Playground) -> list[gr.Textbox]:
    """Returns the boxes of the text and of the second text, which is visible for pairs."""
    # Without the maximal length, by which browsers cut what is pasted and do not say so.
    options: dict[str, Any] = {"lines": 1, "max_lines": 12}
    first = gr.Textbox(
        label="First text" if playground.pairs else "Text",
        placeholder="Type a text and press Enter",
        elem_id="tp-text",
        **options,
    )
    second = gr.Textbox(label="Second text", visible=playground.pairs, elem_id="tp-second", **options)
    return [first, second]


def _example_buttons(examples: list[Example]) -> list[gr.Button]:
    if not examples:
        return []
    gr.HTML(
        '<p class="tp-note tp-examples-note">Texts that the run predicted wrongly, with their labels:</p>',
        apply_default_css=False,
    )
    with gr.Column(elem_classes="tp-examples"):
        return [
            gr.Button(
                f"{shorten(' · '.join(filter(None, example[:2])), _EXAMPLE_LENGTH)} ({shorten(example.gold, 40)})",
                size="sm",
                elem_classes="tp-example",
            )
            for example in examples
        ]


def _filling(example: Example) -> Any:
    return lambda: (example.text, example.second)
