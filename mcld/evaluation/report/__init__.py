"""The report: one page that one would send to a colleague. A module a section, `page` puts them together."""

from mcld.evaluation.report.breakdown import Breakdown, breakdowns
from mcld.evaluation.report.differences import DifferencesSection, differences_section
from mcld.evaluation.report.evaluation import Evaluation, GroupScores, SetFigure, Skipped, read_evaluation
from mcld.evaluation.report.headlines import headlines
from mcld.evaluation.report.listening import WrongInput, listening_lines
from mcld.evaluation.report.page import Page, render_page
from mcld.evaluation.report.pieces import (
    PROTOCOL_MEANINGS,
    PUBLISHED_MARK,
    VERDICTS,
    Cost,
    Facts,
    Figure,
    Gallery,
    Headline,
    Picture,
    Table,
)
from mcld.evaluation.report.ranking import RankedPair, Ranking, rank_metric, rank_pairs
from mcld.evaluation.report.rendering import ARROWS, data_uri, digits, number, render, signed
from mcld.evaluation.report.score_lines import MetricsSection, metrics_section

__all__ = [
    "ARROWS",
    "PROTOCOL_MEANINGS",
    "PUBLISHED_MARK",
    "VERDICTS",
    "Breakdown",
    "Cost",
    "DifferencesSection",
    "Evaluation",
    "Facts",
    "Figure",
    "Gallery",
    "GroupScores",
    "Headline",
    "MetricsSection",
    "Page",
    "Picture",
    "RankedPair",
    "Ranking",
    "SetFigure",
    "Skipped",
    "Table",
    "WrongInput",
    "breakdowns",
    "data_uri",
    "differences_section",
    "digits",
    "headlines",
    "listening_lines",
    "metrics_section",
    "number",
    "rank_metric",
    "rank_pairs",
    "read_evaluation",
    "render",
    "render_page",
    "signed",
]
