"""Why one cannot go on, as one sentence with a next step; empty when one can."""

from __future__ import annotations

from peft_tui.credentials import CredentialState
from peft_tui.domain.adapter import SourceKind
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.offers import Capabilities
from peft_tui.text import clean_line
from peft_tui.ui.screens.wizard.draft import Draft
from peft_tui.ui.screens.wizard.page import Work


def missing_credentials(state: CredentialState) -> str:
    """`missing: TOGETHER_API_KEY → C sets it, or try --sandbox`"""
    if not state.settled:
        return "reading the keyring…"
    if state.trouble:
        return f"{state.trouble} → C unlocks it"
    pronoun = "it" if len(state.missing) == 1 else "them"
    return f"missing: {', '.join(state.missing)} → C sets {pronoun}, or try peft-tui --sandbox"


def platform_problem(offers: Capabilities, state: CredentialState) -> str:
    """Of the first page."""
    if state.present:
        return ""
    names = ", ".join(state.missing)
    return (
        f"{offers.title} cannot be used without {names}. Press C to set it, "
        "or try everything without an account: peft-tui --sandbox"
    )


def model_problem(work: Work, name_taken: bool) -> str:
    """Of the second page: what is typed first, then what was found out."""
    draft, offers = work.draft, work.offers
    if problem := draft.source_problem:
        return f"Adapter: {problem}."
    if adapter_problem := _adapter_problem(work):
        return adapter_problem
    if problem := draft.name_problem:
        return f"Name: {problem}."
    if name_taken:
        return f"There is a deployment named “{clean_line(draft.name, 60)}” already: choose another name."
    look = work.assessment
    if look.usable is not None:
        if reason := look.usable.blocked:
            return f"It cannot be deployed on {offers.title}: {clean_line(reason)}"
        return ""
    if look.asking or look.error is None:
        return f"{offers.title} has not said yet whether it fits: a moment."
    return f"Whether it fits {offers.title} is not known: {_told(look.error)}"


def _adapter_problem(work: Work) -> str:
    look = work.adapter
    if work.draft.kind is not SourceKind.DIRECTORY or look.usable is not None:
        # Elsewhere the platform reads the files, perhaps with rights that this machine has not.
        return ""
    if look.error is not None:
        return f"The adapter cannot be used: {_told(look.error)}"
    return "The adapter's files are still being read: a moment."


def configuration_problem(work: Work) -> str:
    """Of the third page."""
    problems = work.draft.checked(work.assessment.value).problems
    for key, sentence in problems.items():
        setting = work.offers.setting(key)
        return f"{setting.title if setting else key}: {clean_line(sentence)}"
    return ""


def _told(error: PeftTuiError) -> str:
    return clean_line(f"{error.message} {error.hint}".strip())


def typed_name(draft: Draft) -> str:
    """The name as it would be sent."""
    return draft.name.strip()
