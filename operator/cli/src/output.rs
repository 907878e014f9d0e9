//! What `-o` says: how bills are printed.

use std::io::IsTerminal;
use std::str::FromStr;

use maru_bill::{Focus, FocusDataset, FocusVersion};

use crate::problem::Problem;

/// How the bills of files are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateOutput {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// The same document as YAML.
    Yaml,
    /// For spreadsheets.
    Csv,
    /// For `FinOps` tools.
    Focus(FocusFile),
}

/// A table of FOCUS as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FocusFile {
    version: FocusVersion,
    dataset: FocusDataset,
    parquet: bool,
}

impl FromStr for RateOutput {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "csv" => Ok(Self::Csv),
            "focus" => FocusFile::read("1.2").map(Self::Focus),
            other => match other.strip_prefix("focus=") {
                Some(words) => FocusFile::read(words).map(Self::Focus),
                None => Err(format!(
                    "`{other}` is not known: allowed are table, json, yaml, csv and focus[=1.2|1.4]"
                )),
            },
        }
    }
}

impl FocusFile {
    fn read(words: &str) -> Result<Self, String> {
        let mut file = Self {
            version: FocusVersion::V1_2,
            dataset: FocusDataset::CostAndUsage,
            parquet: false,
        };
        for word in words.split(',') {
            match word {
                "1.2" => file.version = FocusVersion::V1_2,
                "1.4" => file.version = FocusVersion::V1_4,
                "csv" => file.parquet = false,
                "parquet" => file.parquet = true,
                other => {
                    let dataset = FocusDataset::ALL.into_iter().find(|dataset| dataset.name() == other);
                    file.dataset = dataset.ok_or_else(|| {
                        let names = FocusDataset::ALL.map(FocusDataset::name).join(", ");
                        format!("`{other}` is not known: allowed are 1.2, 1.4, {names}, csv and parquet")
                    })?;
                }
            }
        }
        if file.version == FocusVersion::V1_2 && file.dataset != FocusDataset::CostAndUsage {
            return Err(format!(
                "FOCUS 1.2 has no {}: allowed is it with 1.4",
                file.dataset.name()
            ));
        }
        Ok(file)
    }

    pub(crate) fn print(self, focus: &Focus<'_>) -> Result<Vec<u8>, Problem> {
        if self.parquet && std::io::stdout().is_terminal() {
            return Err(Problem::new(
                "-o: Parquet is not for a terminal: allowed is a file, with > FILE.parquet",
            ));
        }
        let rows = focus.rows(self.version, self.dataset);
        let rows = rows.ok_or_else(|| Problem::new("-o: this version of FOCUS does not have this dataset"))?;
        if self.parquet {
            return rows.parquet().map_err(Problem::new);
        }
        rows.csv().map(String::into_bytes).map_err(Problem::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn focus_is_named_by_version_dataset_and_form_in_any_order() {
        let focus = |version, dataset, parquet| {
            Ok(RateOutput::Focus(FocusFile {
                version,
                dataset,
                parquet,
            }))
        };
        let (cost, detail) = (FocusDataset::CostAndUsage, FocusDataset::InvoiceDetail);
        let table = [
            ("focus", focus(FocusVersion::V1_2, cost, false)),
            ("focus=1.2", focus(FocusVersion::V1_2, cost, false)),
            ("focus=1.4,parquet", focus(FocusVersion::V1_4, cost, true)),
            ("focus=invoice-detail,1.4,csv", focus(FocusVersion::V1_4, detail, false)),
        ];
        for (text, output) in table {
            assert_eq!(text.parse(), output, "{text}");
        }
        for (text, allowed) in [
            ("focs", "allowed are table, json, yaml, csv and focus[=1.2|1.4]"),
            (
                "focus=1.3",
                "allowed are 1.2, 1.4, cost-and-usage, invoice-detail, billing-period, csv and parquet",
            ),
            ("focus=1.2,invoice-detail", "allowed is it with 1.4"),
        ] {
            assert!(text.parse::<RateOutput>().unwrap_err().contains(allowed), "{text}");
        }
    }
}
