"""Which image is labelled when another one is opened, and closed images of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_gaussproto.widgets.layers.following import follow_images
from tests.core.builders import two_tone
from tests.jobs.images import saved
from tests.widgets.docks import by_role, pick
from tests.widgets.train_dock import WAIT, click, draw, quick, settled


def test_an_image_that_is_opened_is_the_one_to_label(
    viewer: Any, train: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    settled(train, qtbot)
    other = viewer.add_image(two_tone(seed=2)[0], name="other")
    assert train.images.image() is other
    click(train.labels.new)
    assert train.annotations.find(other) is not None
    settled(train, qtbot)


def test_strokes_that_are_not_saved_and_fits_keep_their_image_chosen(
    viewer: Any, train: Any, image: Any, qtbot: Any
) -> None:
    draw(train)  # this moment
    other = viewer.add_image(two_tone(seed=2)[0], name="other")
    told = "“other” was opened meanwhile: choose it above to go on with it."
    assert train.images.image() is image and train.status.text() == told
    settled(train, qtbot)
    viewer.layers.remove(other)
    with qtbot.waitSignal(train.fits.fitted, timeout=WAIT):
        click(train.quick)
        viewer.add_image(two_tone(seed=2)[0], name="other")
        assert train.images.image() is image
    assert train.status.text().startswith("Fitted in") and train.status.text().endswith(told)
    qtbot.waitUntil(lambda: not train.busy, timeout=WAIT)


def test_a_fit_that_ends_beside_another_image_stays_out_of_view(
    viewer: Any, train: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    settled(train, qtbot)
    other = viewer.add_image(two_tone(seed=2)[0], name="other")
    pick(train, other)
    pick(train, image)
    quick(train, qtbot)
    train.fits.predict(other)  # so both have classes
    qtbot.waitUntil(lambda: other in train.state.results, timeout=WAIT)
    qtbot.waitUntil(lambda: not train.busy, timeout=WAIT)
    for results in (2, 1):
        with qtbot.waitSignal(train.fits.fitted, timeout=WAIT):
            click(train.quick)
            pick(train, other)
        qtbot.waitUntil(lambda: not train.busy, timeout=WAIT)
        assert len(train.state.results) == results and other.visible
        seen = [layer.name for layer in viewer.layers if layer.visible]
        assert not [name for name in seen if name.startswith(image.name)], seen
        assert f"It is shown on “{image.name}”: choose that to see it." in train.status.text()
        if results == 2:
            # The docks go on with what the chosen one gave.
            assert train.state.current.source is other
            assert train.state.results[other].labels.visible
        pick(train, image)
        assert image.visible and train.state.results[image].labels.visible and not other.visible
        train.state.forget_result(other)


def test_maps_of_an_image_out_of_view_wait_until_it_is_picked(
    viewer: Any, train: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    settled(train, qtbot)
    other = viewer.add_image(two_tone(seed=2)[0], name="other")
    pick(train, image)
    with qtbot.waitSignal(train.fits.fitted, timeout=WAIT):
        click(train.quick)
        pick(train, other)
    qtbot.waitUntil(lambda: not train.busy, timeout=WAIT)
    # What the hidden image gave is what the docks know still: the other one has no result.
    state = train.state
    assert state.current.source is image and other not in state.results
    # As docks do for a person: another prototype, its likelihood, and that of the first.
    state.select_prototype(1)
    state.show(likelihood=True)
    state.select_prototype(0)
    own = [layer for layer in viewer.layers if layer.name.startswith(image.name)]
    assert not any(layer.visible for layer in own)
    pick(train, image)
    (likelihood,) = by_role(viewer, "likelihood")
    assert image.visible and likelihood.visible and not state.current.labels.visible
    assert likelihood.name.endswith(state.current.segmentation.prototypes[0].name)


def test_an_image_that_a_person_hid_is_not_what_follows_a_removed_one(
    viewer: Any, train: Any, image: Any, qtbot: Any
) -> None:
    place = {"scale": image.scale, "translate": image.translate}
    second, reference = (
        viewer.add_image(two_tone(seed=s)[0], name=f"{s}", **place) for s in (2, 3)
    )
    reference.visible = False
    pick(train, second)
    assert not image.visible
    viewer.layers.remove(second)
    assert train.images.image() is image
    qtbot.waitUntil(lambda: image.visible, timeout=WAIT)
    assert not reference.visible
    # Where nothing else is left, it is better than a black canvas.
    viewer.layers.remove(image)
    qtbot.waitUntil(lambda: reference.visible, timeout=WAIT)


def test_layers_go_and_come_with_their_image_whatever_they_are_called(
    viewer: Any, train: Any, image: Any, dock: Any, run: Any, qtbot: Any
) -> None:
    run(dock)
    strokes, state = draw(train), dock.state
    strokes.name, state.current.labels.name = "mine", "the field"
    place = {"scale": image.scale, "translate": image.translate}
    other = viewer.add_image(two_tone(seed=2)[0], name="other", **place)
    pick(train, other)
    assert not strokes.visible and not state.current.labels.visible
    # Another dock turns from classes to likelihood and back meanwhile.
    for likelihood in (True, False):
        state.show(likelihood=likelihood)
    assert not state.current.labels.visible
    pick(train, image)
    assert strokes.visible and state.current.labels.visible


def test_what_a_person_showed_and_hid_again_is_not_what_a_dock_hid(
    viewer: Any, train: Any, image: Any, qtbot: Any
) -> None:
    place = {"scale": image.scale, "translate": image.translate}
    second, reference = (
        viewer.add_image(two_tone(seed=s)[0], name=f"{s}", **place) for s in (2, 3)
    )
    image.visible = True
    pick(train, second)
    assert not image.visible and not reference.visible
    for visible in (True, False):
        reference.visible = visible
    viewer.layers.remove(second)
    assert train.images.image() is image
    qtbot.waitUntil(lambda: image.visible, timeout=WAIT)
    assert not reference.visible


def test_what_is_chosen_after_a_removal_comes_into_view(
    viewer: Any, train: Any, image: Any, qtbot: Any
) -> None:
    second, third = (viewer.add_image(two_tone(seed=s)[0], name=f"{s}") for s in (2, 3))
    pick(train, second)
    draw(train)
    quick(train, qtbot)
    settled(train, qtbot)
    classes = train.state.results[second].labels
    pick(train, third)
    assert not second.visible and not classes.visible
    viewer.layers.remove(third)
    assert train.images.image() is second
    qtbot.waitUntil(lambda: second.visible, timeout=WAIT)
    assert classes.visible and train.annotations.find(second).layer.visible
    # What a person hid stays hidden as long as the choice stays.
    second.visible = False
    viewer.layers.remove(image)
    qtbot.wait(50)
    assert not second.visible


def test_labels_that_were_put_aside_come_back_after_a_removal(
    viewer: Any, train: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    settled(train, qtbot)
    drawn = train.annotations.find(image).layer
    other = viewer.add_image(two_tone(seed=2)[0], name="other", scale=image.scale)
    other.translate = image.translate
    # As labels that come back, while another image is chosen and both are in view.
    follow_images(viewer).put_aside(image, other)
    assert image.visible and not drawn.visible
    viewer.layers.remove(other)
    assert train.images.image() is image
    qtbot.waitUntil(lambda: drawn.visible, timeout=WAIT)


def test_in_a_grid_what_is_picked_is_shown_and_its_fit_stays(
    viewer: Any, train: Any, image: Any, qtbot: Any
) -> None:
    draw(train)
    settled(train, qtbot)
    other = viewer.add_image(two_tone(seed=2)[0], name="other", scale=image.scale)
    other.translate = image.translate
    pick(train, other)
    assert not image.visible
    getattr(viewer, "canvas", viewer).grid.enabled = True
    pick(train, image)
    assert image.visible and other.visible
    quick(train, qtbot)
    assert train.state.results[image].labels.visible
    assert "choose that to see it" not in train.status.text()


@pytest.fixture
def project(viewer: Any, train: Any, qtbot: Any, tmp_path: Path) -> Path:
    """A project with labels on two photographs, both of which are closed; another one is open."""
    viewer.add_image(two_tone(seed=4)[0], name="next")
    for seed in (0, 1):
        _, file = saved(tmp_path, seed, f"photo-{seed}.tif")
        (layer,) = viewer.open(file, plugin="napari")
        train.images.choose(layer)
        draw(train)
        settled(train, qtbot)
        viewer.layers.remove(layer)
    settled(train, qtbot)
    folder: Path = train.autosave.state.folder
    train.autosave.bar.new_asked.emit()
    settled(train, qtbot)
    return folder


def opened(train: Any, folder: Path, qtbot: Any) -> None:
    train.autosave.bar.open_asked.emit(folder)
    qtbot.waitUntil(lambda: train.autosave.state.folder == folder, timeout=WAIT)
    settled(train, qtbot)
    qtbot.waitUntil(lambda: not train.busy, timeout=WAIT)


def test_a_project_tells_of_closed_images_and_opens_them(
    viewer: Any, train: Any, project: Path, qtbot: Any
) -> None:
    opened(train, project, qtbot)
    question = train.autosave.bar.question
    assert not question.isHidden()
    assert "2 labelled images of" in question.words.text()
    assert "are closed: “photo-0” and “photo-1”" in question.words.text()
    total = sum(int((a.labels > 0).sum()) for a in train.autosave.state.kept.images)
    assert train.labels.note.text() == f"{total:,} pixels on 2 closed images are labelled."
    amounts = [train.classes.list.item(row, 3).text() for row in range(2)]
    assert "0 px" not in amounts
    click(question.buttons[0])
    qtbot.waitUntil(lambda: len(train.annotations.open) == 2, timeout=WAIT)
    settled(train, qtbot)
    names = [image.name for image in train.images.images()]
    assert names == ["next", "photo-0", "photo-1"] and question.isHidden()
    assert train.images.image().name == "photo-1"
    assert train.labels.note.text() == f"{total:,} pixels on 2 images are labelled."
    assert train.labels.closed.isHidden() and train.labels.open_closed.isHidden()


def test_a_closed_image_is_opened_from_the_list(
    viewer: Any, train: Any, project: Path, qtbot: Any, tmp_path: Path
) -> None:
    opened(train, project, qtbot)
    click(train.autosave.bar.question.buttons[1])
    first, second, _, every = train.labels.open_closed.menu().actions()
    assert [first.text(), second.text(), every.text()] == ["photo-0", "photo-1", "All 2"]
    assert first.toolTip() == str(tmp_path / "photo-0.tif")
    first.trigger()
    first.trigger()  # an impatient one
    qtbot.waitUntil(lambda: len(train.annotations.open) == 1, timeout=WAIT)
    settled(train, qtbot)
    qtbot.waitUntil(lambda: not train.busy, timeout=WAIT)
    assert train.images.image().name == "photo-0" and len(train.images.images()) == 2
    assert "Opened 1 image of" in train.status.text()
    # It comes into view, and what lies over it goes out of view.
    assert train.images.image().visible and not viewer.layers["next"].visible
    here, elsewhere = (int(np.count_nonzero(a.labels)) for a in train.autosave.state.kept.images)
    said = f"{here:,} pixels on 1 image are labelled, {elsewhere:,} on 1 closed image."
    assert train.labels.note.text() == said
    # One whose file is gone is asked for.
    (tmp_path / "photo-1.tif").unlink()
    train.labels.open_closed.menu().actions()[0].trigger()
    question = train.autosave.bar.question
    qtbot.waitUntil(lambda: not question.isHidden(), timeout=WAIT)
    assert "“photo-1” is not at" in question.words.text()
    click(question.buttons[1])
    settled(train, qtbot)


@pytest.mark.parametrize("offered", [True, False])
def test_what_is_brought_back_is_not_learned_from_where_that_was_unticked(
    viewer: Any, train: Any, project: Path, qtbot: Any, tmp_path: Path, offered: bool
) -> None:
    assert train.labels.closed.isChecked()
    train.labels.closed.setChecked(False)
    settled(train, qtbot)
    if offered:
        viewer.open(tmp_path / "photo-0.tif", plugin="napari")
        qtbot.waitUntil(lambda: not train.autosave.bar.offer.isHidden(), timeout=WAIT)
        click(train.autosave.bar.restore)
        qtbot.waitUntil(lambda: train.autosave.state.folder == project, timeout=WAIT)
        settled(train, qtbot)
        qtbot.waitUntil(lambda: len(train.annotations.open) == 1, timeout=WAIT)
        qtbot.waitUntil(lambda: not train.busy, timeout=WAIT)
    else:
        opened(train, project, qtbot)
    assert not train.labels.closed.isHidden()
    # A project that a person looks for and opens is as it was left.
    assert train.labels.closed.isChecked() != offered
