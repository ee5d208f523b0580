"""The report: one page that one would send to a colleague. A module a section, `page` puts them together."""

from mcld.evaluation.report.evaluation import Evaluation, GroupScores, SetFigure, Skipped, read_evaluation
from mcld.evaluation.report.headlines import headlines
from mcld.evaluation.report.page import Page, render_page
from mcld.evaluation.report.pieces import PROTOCOL_MEANINGS, Gallery, Headline, Picture, Table
from mcld.evaluation.report.rendering import data_uri, digits, number, render, signed
from mcld.evaluation.report.score_lines import MetricsSection, metrics_section

__all__ = [
    "PROTOCOL_MEANINGS",
    "Evaluation",
    "Gallery",
    "GroupScores",
    "Headline",
    "MetricsSection",
    "Page",
    "Picture",
    "SetFigure",
    "Skipped",
    "Table",
    "data_uri",
    "digits",
    "headlines",
    "metrics_section",
    "number",
    "read_evaluation",
    "render",
    "render_page",
    "signed",
]
