"""The life of a chunk is a table, and what is not in it cannot happen."""

from __future__ import annotations

import itertools

import pytest

from mobiz_async.errors import JournalError
from mobiz_async.journal import LIFE, ChunkState, Event
from mobiz_async.journal.protocol import event_of, step
from mobiz_async.models import Outcome

NOT_IN_IT = sorted(set(itertools.product(ChunkState, Event)) - set(LIFE))


@pytest.mark.parametrize(("state", "event"), NOT_IN_IT)
def test_a_step_that_the_table_does_not_have_is_refused(state, event):
    with pytest.raises(JournalError):
        step(state, event)


@pytest.mark.parametrize(("state", "event"), sorted(LIFE))
def test_a_step_of_the_table_leads_where_it_says(state, event):
    assert LIFE[state, event] is step(state, event)


@pytest.mark.parametrize("state", [ChunkState.ACCEPTED, ChunkState.REJECTED])
def test_accepted_and_rejected_are_final(state):
    assert [event for event in Event if (state, event) in LIFE] == []


def test_only_an_intent_leads_to_a_post():
    assert {Event.INTEND} == {event for (_, event), after in LIFE.items() if after is ChunkState.INTENDED}


def test_only_the_owner_leads_out_of_unknown_without_a_new_attempt():
    leading = {event for state, event in LIFE if state is ChunkState.UNKNOWN}

    assert {Event.INTEND, Event.RESOLVE_ACCEPTED, Event.RESOLVE_NOT_SENT} == leading


def test_every_outcome_is_an_event_of_a_chunk_on_its_way():
    states = {outcome: step(ChunkState.INTENDED, event_of(outcome)) for outcome in Outcome}

    assert states == {
        Outcome.ACCEPTED: ChunkState.ACCEPTED,
        Outcome.REJECTED: ChunkState.REJECTED,
        Outcome.NOT_SENT: ChunkState.PENDING,
        Outcome.UNKNOWN: ChunkState.UNKNOWN,
    }
