//! Tables for people: one border style for all subcommands.

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, presets,
};
use reports::Colors;
use sim::visible;

pub(crate) fn table(colors: Colors, header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_content_arrangement(ContentArrangement::Disabled);
    match colors {
        Colors::On => table.enforce_styling(),
        Colors::Off => table.force_no_tty(),
    };
    table.set_header(
        header
            .iter()
            .map(|h| Cell::new(h).add_attribute(Attribute::Bold)),
    );
    table
}

/// Words of files and operators, which a terminal must not obey.
pub(crate) fn words(text: &str) -> Cell {
    let lines: Vec<_> = text.lines().map(visible::line).collect();
    Cell::new(lines.join("\n"))
}

/// A number stands to the right.
pub(crate) fn number(n: impl ToString) -> Cell {
    Cell::new(n.to_string()).set_alignment(CellAlignment::Right)
}

/// Good is green, bad is red.
pub(crate) fn verdict(text: &str, good: bool) -> Cell {
    words(text).fg(if good { Color::Green } else { Color::Red })
}

/// The table as text, without blanks at line ends.
pub(crate) fn text(table: &Table) -> String {
    let mut text = String::new();
    for line in table.to_string().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
