//! Conditional blocks and messages: `.if` and its kin (HAProxy manual, section 2.4).

use std::sync::Arc;

use super::{Reader, condition, lexer};
use crate::Place;
use crate::draft::Spanned;
use crate::resolve::{did_you_mean, or_slip};

/// One open `.if`.
pub(super) struct Block {
    pub(super) place: Place,
    /// Whether its lines count now.
    pub(super) active: bool,
    /// Whether one of its branches was taken, or none may be.
    settled: bool,
    after_else: bool,
}

impl Reader<'_> {
    /// `.if` and its kin (manual, section 2.4).
    pub(super) fn directive(
        &mut self,
        file: &Arc<str>,
        number: u32,
        line: &str,
        blocks: &mut Vec<Block>,
    ) {
        let start = line.len() - line.trim_start().len();
        let rest = &line[start..];
        let end = rest.find([' ', '\t', '#', '\r']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let column = |bytes: usize| u32::try_from(line[..bytes].chars().count() + 1).unwrap_or(0);
        let place = Place {
            file: Arc::clone(file),
            line: number,
            column: column(start),
        };
        let argument_column = column(start + end + (rest.len() - rest.trim_start().len()));
        let enclosing = |blocks: &[Block]| blocks.iter().all(|block| block.active);
        match name {
            ".if" => {
                let reached = enclosing(blocks);
                let active = reached && self.condition(&place, line, argument_column);
                blocks.push(Block {
                    place,
                    active,
                    settled: active || !reached,
                    after_else: false,
                });
            }
            ".elif" | ".else" => {
                let Some((block, outer)) = blocks.split_last_mut() else {
                    return self.error(place, format!("'{name}' without '.if'"));
                };
                if block.after_else {
                    return self.error(place, format!("'{name}' after '.else'"));
                }
                let reached = enclosing(outer) && !block.settled;
                block.after_else = name == ".else";
                let truth =
                    reached && (name == ".else" || self.condition(&place, line, argument_column));
                block.active = truth;
                block.settled |= truth;
            }
            ".endif" => {
                if blocks.pop().is_none() {
                    self.error(place, "'.endif' without '.if'");
                }
            }
            ".notice" | ".warning" | ".alert" | ".diag" => {
                if enclosing(blocks) {
                    self.message(&place, name, file, number, line);
                }
            }
            _ => {
                let known = [
                    ".if", ".elif", ".else", ".endif", ".notice", ".warning", ".alert", ".diag",
                ];
                let hint = or_slip(did_you_mean(name, known.into_iter()), name, "");
                self.error(place, format!("unknown directive '{name}'{hint}"));
            }
        }
    }

    fn condition(&mut self, place: &Place, line: &str, column: u32) -> bool {
        let text = lexer::single_word(line, column, &|name| self.variable(name))
            .map_err(|error| (error.column, error.message));
        let truth = text.and_then(|text| {
            condition::evaluate(&text, &|name| self.variable(name))
                .map_err(|message| (column, message))
        });
        truth.unwrap_or_else(|(column, message)| {
            self.error(
                Place {
                    column,
                    ..place.clone()
                },
                message,
            );
            false
        })
    }

    fn message(&mut self, place: &Place, name: &str, file: &Arc<str>, number: u32, line: &str) {
        let words = match lexer::words(line, &|name| self.variable(name)) {
            Ok(words) => words,
            Err(error) => {
                return self.error(
                    Place {
                        column: error.column,
                        ..place.clone()
                    },
                    error.message,
                );
            }
        };
        if let Some(extra) = words.get(2) {
            let place = Place {
                file: Arc::clone(file),
                line: number,
                column: extra.column,
            };
            return self.error(
                place,
                format!(
                    "unexpected argument '{}' for '{name}'; quote the message",
                    extra.text
                ),
            );
        }
        let text = words.get(1).map_or(String::new(), |word| word.text.clone());
        match name {
            ".alert" => self.error(place.clone(), text),
            ".warning" => self.warning(place.clone(), text),
            ".notice" => self.draft.notices.push(Spanned::new(text, place.clone())),
            // Shown with -dD only, a mode that this program does not have.
            _ => {}
        }
    }
}
