"""The studio in a real browser: choose, drop, change, generate, compare, download; and what goes wrong."""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcld.inference.open import open_engine
from mcld.inference.recipe import Recipe
from mcld.studio.app import create_studio
from tests.browser import Browser, find_browser
from tests.embedded_engine import embedded_person, embedded_pipeline, jpeg_of
from tests.service.service import RunningServer, running

BROWSER = find_browser()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt-get install chromium")

RESULTS = "document.querySelectorAll('.result').length"
FEW_STEPS = "document.querySelector('[name=num_steps]').value = 2"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    directory = tmp_path_factory.mktemp("studio") / "model"
    embedded_pipeline().save_pretrained(directory)
    with running(create_studio(open_engine(directory, device="cpu"), model=str(directory))) as server:
        yield server


@pytest.fixture(scope="module")
def browser(studio: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert BROWSER is not None
    with Browser(program=BROWSER, directory=tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser: Browser, studio: RunningServer) -> Browser:
    """A fresh page."""
    browser.resize(1400, height_px=1000)
    browser.open("about:blank")
    browser.open(studio.address)
    browser.wait_for("document.body && document.body.dataset.ready")
    browser.wait_for("document.querySelectorAll('#person .examples button').length >= 4")
    browser.evaluate(FEW_STEPS)
    return browser


def click(page: Browser, selector: str, *, index: int = 0) -> None:
    page.evaluate(f"document.querySelectorAll({json.dumps(selector)})[{index}].click()")


def choose_examples(page: Browser) -> None:
    """The first person in the second pose."""
    click(page, "#person .examples button")
    click(page, "#pose .examples button", index=1)
    page.wait_for("!document.querySelector('#run').disabled")


def drop(page: Browser, selector: str, *, data: bytes, name: str, kind: str = "image/jpeg") -> None:
    """A file from the desktop, dropped on the first element that matches."""
    page.evaluate(
        f"""(() => {{
          const text = atob({json.dumps(base64.b64encode(data).decode())});
          const bytes = Uint8Array.from(text, letter => letter.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], {json.dumps(name)}, {{type: {json.dumps(kind)}}}));
          const event = new DragEvent("drop", {{dataTransfer, bubbles: true, cancelable: true}});
          document.querySelector({json.dumps(selector)}).dispatchEvent(event);
        }})()"""
    )


def generate(page: Browser, *, results: int = 1) -> None:
    click(page, "#run")
    page.wait_for(f"{RESULTS} === {results} && !document.querySelector('#run').disabled")


def fetched(page: Browser, selector: str) -> bytes:
    """The bytes behind a link, as a download gets them."""
    text = page.evaluate(
        f"""fetch(document.querySelector({json.dumps(selector)}).href).then(r => r.arrayBuffer()).then(
          b => btoa(Array.from(new Uint8Array(b), c => String.fromCharCode(c)).join('')))"""
    )
    return base64.b64decode(text)


def is_shown(selector: str) -> str:
    return f"(e => e && e.complete && e.naturalWidth > 0)(document.querySelector({json.dumps(selector)}))"


def test_an_example_in_an_example_pose_becomes_a_picture_to_download_with_its_recipe(page: Browser) -> None:
    choose_examples(page)
    page.wait_for(is_shown("#person .found .large"))
    generate(page)
    with Image.open(io.BytesIO(fetched(page, ".download-picture"))) as picture:
        assert picture.format == "PNG"
    recipe = Recipe.model_validate_json(fetched(page, ".download-recipe"))
    assert recipe.settings.num_steps == 2
    assert recipe.source.path == "person 1.jpg"
    assert page.evaluate("document.querySelector('.download-picture').download").endswith(".png")


def test_what_was_found_of_a_person_can_be_looked_at(page: Browser) -> None:
    choose_examples(page)
    for name in ("overlay", "texture", "face", "photo"):
        click(page, f"#person .views [data-view={name}]")
        page.wait_for(f"document.querySelector('#person .large').src.endsWith('{name}.png')")
        page.wait_for(is_shown("#person .large"))


def test_a_dropped_photograph_is_read_and_rendered_in_a_dropped_pose(page: Browser) -> None:
    drop(page, "#person .drop", data=embedded_person(0).jpeg, name="me.jpg")
    drop(page, "#pose .drop", data=embedded_person(1).jpeg, name="pose.jpg")
    page.wait_for("!document.querySelector('#run').disabled")
    generate(page)
    assert "me.jpg → pose.jpg" in page.text()


def test_of_two_people_the_other_one_can_be_chosen(page: Browser) -> None:
    both = np.concatenate([embedded_person(index).rendered.image for index in (0, 1)], axis=1)
    drop(page, "#person .drop", data=jpeg_of(both), name="two.jpg")
    page.wait_for("document.querySelectorAll('#person .people button').length === 2")
    click(page, "#person .people button", index=1)
    page.wait_for("document.querySelector('#person .large').src.includes('/people/2/')")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"words, not pixels", "not a picture"),
        (b"", "empty"),
        (jpeg_of(np.full((256, 176, 3), 240, np.uint8)), "no person was found"),
        (jpeg_of(np.zeros((20, 20, 3), np.uint8)), "too few"),
    ],
    ids=["text", "empty", "nobody", "tiny"],
)
def test_a_photograph_that_cannot_be_used_is_a_sentence_below_it(
    page: Browser, data: bytes, words: str
) -> None:
    drop(page, "#person .drop", data=data, name="holiday.jpg")
    page.wait_for("!document.querySelector('#person .error').hidden")
    sentence = page.evaluate("document.querySelector('#person .error').textContent")
    assert words in sentence
    assert sentence.startswith("holiday.jpg: ")
    assert page.evaluate("document.querySelector('#run').disabled")


def test_a_file_over_the_limit_is_refused_before_it_is_sent(page: Browser) -> None:
    page.evaluate(
        """(() => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([new Uint8Array(30 << 20)], "large.jpg", {type: "image/jpeg"}));
          document.querySelector("#person .drop").dispatchEvent(new DragEvent("drop", {dataTransfer}));
        })()"""
    )
    page.wait_for(
        "document.querySelector('#person .error').textContent.includes('30.0 MB, but at most 20.0')"
    )


def test_a_change_is_previewed_and_stands_in_the_recipe(page: Browser) -> None:
    choose_examples(page)
    click(page, "#add-edits [data-kind=clothes]")
    click(page, "#edits .examples button", index=2)
    page.wait_for("!document.querySelector('#preview').hidden")
    page.wait_for(is_shown("#preview img"))
    generate(page)
    recipe = Recipe.model_validate_json(fetched(page, ".download-recipe"))
    assert [edit.kind for edit in recipe.edits] == ["clothes"]
    assert "clothes (upper body) of person 3.jpg" in page.text()


def test_every_kind_of_change_can_be_added_and_removed(page: Browser) -> None:
    choose_examples(page)
    for kind in ("clothes", "identity", "recolour", "print", "blend"):
        click(page, f"#add-edits [data-kind={kind}]")
    assert page.evaluate("document.querySelectorAll('.edit').length") == 5
    for _ in range(5):
        click(page, ".edit .remove")
    assert page.evaluate("document.querySelectorAll('.edit').length") == 0
    page.wait_for("document.querySelector('#preview').hidden")


def test_a_printed_picture_is_previewed(page: Browser) -> None:
    choose_examples(page)
    click(page, "#add-edits [data-kind=print]")
    buffer = io.BytesIO()
    Image.new("RGBA", (40, 40), (255, 0, 0, 200)).save(buffer, "PNG")
    drop(page, "#edits .drop", data=buffer.getvalue(), name="logo.png", kind="image/png")
    page.wait_for(is_shown("#preview img"))


def test_several_seeds_are_compared_side_by_side_and_what_differs_is_marked(page: Browser) -> None:
    choose_examples(page)
    page.evaluate("document.querySelector('[name=count]').value = 2")
    generate(page, results=2)
    for index in range(2):
        click(page, ".result .pick", index=index)
    click(page, "#compare")
    assert page.evaluate("document.querySelector('#comparison').open")
    assert page.evaluate("document.querySelectorAll('#comparison img').length") == 2
    marked = page.evaluate("[...document.querySelectorAll('#comparison tr.differs')].map(r => r.innerText)")
    assert [text.split() for text in marked] == [["seed", "0"], ["seed", "1"]]  # as they were made


def test_where_the_model_looked_is_shown_when_asked_for(page: Browser) -> None:
    choose_examples(page)
    click(page, "[name=attention]")
    generate(page)
    click(page, ".result .maps")
    page.wait_for("document.querySelector('.result img').src.endsWith('attention.png')")
    page.wait_for(is_shown(".result img"))


def test_a_rendering_can_be_cancelled_and_the_next_one_works(page: Browser) -> None:
    choose_examples(page)
    page.evaluate("document.querySelector('[name=num_steps]').value = 200")
    click(page, "#run")
    page.wait_for("document.querySelector('#progress-text').textContent.includes('step')")
    click(page, "#cancel")
    page.wait_for("!document.querySelector('#run').disabled")
    assert page.evaluate(RESULTS) == 0
    page.evaluate(FEW_STEPS)
    generate(page)


@pytest.mark.parametrize(("width_px", "height_px"), [(390, 844), (768, 1024), (1280, 800)])
def test_nothing_is_wider_than_the_screen(page: Browser, width_px: int, height_px: int) -> None:
    page.resize(width_px, height_px=height_px)
    choose_examples(page)
    click(page, "#add-edits [data-kind=clothes]")
    generate(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width_px


@pytest.mark.parametrize(("width_px", "height_px"), [(390, 844), (768, 1024), (1280, 800)])
def test_panels_lie_beside_or_below_each_other_never_on_top(
    page: Browser, width_px: int, height_px: int
) -> None:
    page.resize(width_px, height_px=height_px)
    choose_examples(page)
    click(page, "#add-edits [data-kind=clothes]")
    generate(page)
    boxes = page.evaluate(
        """[...document.querySelectorAll(".panel")].map(e => e.getBoundingClientRect()).map(
          b => [b.left, b.top, b.right, b.bottom])"""
    )
    assert len(boxes) == 5
    for first, second in itertools.combinations(boxes, 2):
        beside = first[2] <= second[0] + 1 or second[2] <= first[0] + 1
        below = first[3] <= second[1] + 1 or second[3] <= first[1] + 1
        assert beside or below, (first, second)


def test_the_page_asks_nobody_but_the_studio(page: Browser, studio: RunningServer) -> None:
    choose_examples(page)
    asked = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert asked
    assert all(address.startswith((studio.address, "blob:", "data:")) for address in asked)


def test_everything_that_can_be_pressed_has_a_name(page: Browser) -> None:
    choose_examples(page)
    for kind in ("clothes", "recolour", "print"):
        click(page, f"#add-edits [data-kind={kind}]")
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, a, input, select")].filter(e => e.type !== "file" &&
          !(e.innerText || "").trim() && !e.getAttribute("aria-label") && !e.closest("label")).length"""
    )
    assert nameless == 0
    pictures = page.evaluate(
        "[...document.querySelectorAll('img')].filter(e => !e.hasAttribute('alt')).length"
    )
    assert pictures == 0


def test_page_files_ship_with_the_package() -> None:
    from importlib.resources import files

    page_dir = Path(str(files("mcld.studio") / "page"))
    assert {path.name for path in page_dir.iterdir()} >= {"index.html", "studio.css", "studio.js"}
