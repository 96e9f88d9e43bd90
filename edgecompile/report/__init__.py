"""Tables and plots of what a compression cost and gave, for people: needs the extra `report`."""

from __future__ import annotations

from edgecompile.report.folder import report_folder, write_report

__all__ = ["report_folder", "write_report"]
