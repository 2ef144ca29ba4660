"""Where recipients come from, what is checked before they go, and a look before sending."""

from mobiz_async.recipients import columns, phones, segments
from mobiz_async.recipients.dedupe import dedupe_stage, load_suppression, suppression_stage
from mobiz_async.recipients.definition import definition_stage
from mobiz_async.recipients.phones import PhoneFault, PhoneNumberError, normalize_stage
from mobiz_async.recipients.preview import BadRow, Preview, preview
from mobiz_async.recipients.rejects import RejectsWriter
from mobiz_async.recipients.segments import Segments
from mobiz_async.recipients.shape import shape_stage
from mobiz_async.recipients.sources import FileFormat, Recipients, SourceFileError, open_recipients
from mobiz_async.recipients.stages import BadRecord, Problem, Stage, Staged, pipeline

__all__ = [
    "BadRecord",
    "BadRow",
    "FileFormat",
    "PhoneFault",
    "PhoneNumberError",
    "Preview",
    "Problem",
    "Recipients",
    "RejectsWriter",
    "Segments",
    "SourceFileError",
    "Stage",
    "Staged",
    "columns",
    "dedupe_stage",
    "definition_stage",
    "load_suppression",
    "normalize_stage",
    "open_recipients",
    "phones",
    "pipeline",
    "preview",
    "segments",
    "shape_stage",
    "suppression_stage",
]
