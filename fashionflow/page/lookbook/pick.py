"""The actions on one clip of a lookbook: the page shows it, makes it longer, or makes it with full steps."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import gradio as gr

from ...generation.settings import ClipSettings
from .. import wording
from ..again import longer, submit_again
from ..context import HELPER, RUN_EVENT, PageContext, Visit
from ..languages import Words, words_for
from ..run import Run
from ..settings import Settings
from . import contact_sheet, plan


class Opened:
    """The lookbook that a visitor has open in a tab. Gradio copies it for every new visitor.

    Attributes:
        number: the number of its job, "" for none.
        clip: the index of the clip that was picked last, `None` for none.
        moving: whether the thumbnails are animated.
    """

    def __init__(self):
        self.number, self.clip, self.moving = "", None, True

    def __deepcopy__(self, memo: dict) -> "Opened":
        return Opened()


class Picking:
    """The actions on the clip that was picked. Both buttons make a new clip from its request, in an ordinary run."""

    CHANGES: dict[str, Callable[[Settings, ClipSettings], ClipSettings | None]] = {
        "longer": longer,
        "full": plan.at_full_steps,
    }

    def __init__(self, context: PageContext, settings: Settings, run: Run):
        self.context, self.settings, self.run = context, settings, run

    def connect(self, components: dict[str, gr.components.Component], opened: gr.State) -> None:
        """
        Args:
            components: the lookbook's components, by name.
            opened: the state of the open lookbook.
        """
        picked, buttons = components["picked"], [components[name] for name in self.CHANGES]
        outputs = [*self.run.outputs, picked]
        pick = components["sheet"].select(self.pick, opened, [*outputs, *buttons], preprocess=False, **HELPER)
        pick.then(None, js="() => window.fashionflow.showPickedClip()", api_visibility="private")
        for make, button in zip((self.longer, self.full), buttons, strict=True):
            inputs, name = [opened, self.run.visit], f"lookbook_{make.__name__}"
            button.click(None, js="() => window.fashionflow.showTheStage()", api_visibility="private")
            button.click(make, inputs, outputs, trigger_mode="once", api_name=name, **RUN_EVENT)

    def pick(self, event: gr.SelectData, request: gr.Request, opened: Opened) -> list:
        """Shows a clip of the contact sheet, and what else can be made from it."""
        words, job = words_for(request), self.context.job_queue.find(opened.number)
        unchanged = self.run.changes()
        if job is None:
            return [*unchanged, self.problem(words("lookbook.lost")), *self.buttons(False, False)]
        clip, name = event.index, contact_sheet.name_of(job, event.index, words)
        result = job.results[clip]
        if result is None:
            key = "lookbook.is_not_made" if job.has_ended else "lookbook.is_waiting"
            return [*unchanged, self.problem(words(key, name=name)), gr.skip(), gr.skip()]
        opened.clip = clip
        # The time estimate and the waiting time belong to the whole job, so they are left out here.
        said = wording.finished(words, replace(result, time_estimate=None, waited=0.0))
        changed = {key: change(self.settings, job.requests[clip].settings) for key, change in self.CHANGES.items()}
        picked = wording.status(name, self.choices(words, changed))
        return [
            *self.run.changes_for_result(job, clip, said),
            picked,
            *self.buttons(*(settings is not None for settings in changed.values())),
        ]

    def choices(self, words: Words, changed: dict[str, ClipSettings | None]) -> str:
        """Sentences on what the two buttons would make, and how long that would take."""
        sentences = []
        for name, settings in changed.items():
            if settings is None:
                sentences.append(words(f"lookbook.no_{name}"))
            else:
                factor, fps = settings.playing_rate(self.context.job_queue.model.frame_rate)
                length = f"{(factor * (settings.frames - 1) + 1) / fps:.1f}"
                time = wording.duration(words, self.context.job_queue.estimate([settings]).seconds)
                sentences.append(words(f"lookbook.say_{name}", length=length, steps=settings.steps, time=time))
        return " ".join(sentences)

    def longer(self, request: gr.Request, opened: Opened, visit: Visit) -> Iterator[list]:
        yield from self.again("longer", words_for(request), opened, visit)

    def full(self, request: gr.Request, opened: Opened, visit: Visit) -> Iterator[list]:
        yield from self.again("full", words_for(request), opened, visit)

    def again(self, name: str, words: Words, opened: Opened, visit: Visit) -> Iterator[list]:
        """Makes the picked clip again with a change, as an ordinary run: updates of `Run.outputs` and of the message here."""
        lost = words("lookbook.lost")
        try:
            job = self.context.job_queue.find(opened.number)
            if job is None or opened.clip is None:
                raise ValueError(lost)
            changed = self.CHANGES[name](self.settings, job.requests[opened.clip].settings)
            if changed is None:
                raise ValueError(words(f"lookbook.no_{name}"))
            new = submit_again(self.context, visit, words, job, opened.clip, changed, lost)
        except ValueError as error:
            yield [*self.run.changes(), self.problem(str(error))]
            return
        for changes in self.run.show(visit, new, words):
            yield [*changes, gr.skip()]

    @staticmethod
    def nothing_picked(words: Words) -> str:
        return wording.status(words("lookbook.pick"))

    @staticmethod
    def buttons(*possible: bool) -> list[dict]:
        return [gr.update(interactive=button) for button in possible]

    @staticmethod
    def problem(sentence: str) -> str:
        return wording.status(sentence, problem=True)
