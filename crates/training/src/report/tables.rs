//! Tables that scroll sideways on a narrow screen instead of breaking the page.

use maud::{Markup, html};

/// One column: its heading, a hint, and whether it holds figures.
pub(super) struct Column {
    pub(super) heading: &'static str,
    pub(super) is_figure: bool,
}

/// A column of words.
pub(super) const fn words(heading: &'static str) -> Column {
    Column { heading, is_figure: false }
}

/// A column of figures, set right.
pub(super) const fn figures(heading: &'static str) -> Column {
    Column { heading, is_figure: true }
}

/// A table; the first cell of a row is its heading.
pub(super) fn table(caption: &str, columns: &[Column], rows: &[Vec<Markup>]) -> Markup {
    let class = |column: &Column| if column.is_figure { "figure" } else { "words" };
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(caption) {
            table {
                caption class="hidden" { (caption) }
                thead {
                    tr { @for column in columns { th scope="col" class=(class(column)) { (column.heading) } } }
                }
                tbody {
                    @for row in rows {
                        tr {
                            @for (index, (cell, column)) in row.iter().zip(columns).enumerate() {
                                @if index == 0 {
                                    th scope="row" class=(class(column)) { (cell) }
                                } @else {
                                    td class=(class(column)) { (cell) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Plain text as a cell.
pub(super) fn cell(text: impl AsRef<str>) -> Markup {
    html! { (text.as_ref()) }
}

/// A figure with a quieter interval below it.
pub(super) fn with_interval(value: &str, interval: Option<&str>) -> Markup {
    html! {
        (value)
        @if let Some(interval) = interval { small { (interval) } }
    }
}

/// A section with its heading, one sentence, and what it holds.
pub(super) fn section(id: &str, title: &str, reading: &str, content: &Markup) -> Markup {
    html! {
        section id=(id) aria-labelledby=(format!("{id}-heading")) {
            h2 id=(format!("{id}-heading")) { (title) }
            p class="reading" { (reading) }
            (content)
        }
    }
}
