//! What is to be done in a dataset's database, as data that can be printed, compared and carried out.

use crate::facts::SystemKey;
use crate::plan::Problem;
use serde::Serialize;

/// Which part of a dataset a transaction is for: one that fails does not keep the others from being in force.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Part {
    /// The dataset itself.
    Dataset,
    /// The grant with this UID.
    Grant(String),
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The SQL, complete but for a password's verifier.
    pub sql: String,
    /// The role whose password's verifier is written behind the SQL, as a constant. No plan carries a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_of: Option<String>,
    /// Whether it undoes what somebody else did.
    pub undoes: bool,
}

impl Statement {
    /// A statement that makes what is wanted.
    pub fn new(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            password_of: None,
            undoes: false,
        }
    }

    /// A statement that undoes what somebody else did.
    pub fn undo(sql: impl Into<String>) -> Self {
        Self {
            undoes: true,
            ..Self::new(sql)
        }
    }
}

/// Statements that take effect together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transaction {
    /// What it is for.
    pub purpose: String,
    /// Which part of the dataset it is for.
    pub part: Part,
    /// The statements.
    pub statements: Vec<Statement>,
    /// Whether each statement is sent by itself: what `PostgreSQL` refuses inside a transaction.
    pub apart: bool,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Step {
    /// SQL.
    Run(Transaction),
    /// The Secret with a system's credentials goes.
    Forget(SystemKey),
}

/// The steps that are missing, in order, and what stands in the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DataPlan {
    /// The steps.
    pub steps: Vec<Step>,
    /// What is wrong with which part.
    #[serde(skip)]
    pub problems: Vec<(Part, Problem)>,
    /// Differences between what is declared and what is there.
    pub differences: Vec<String>,
}

impl DataPlan {
    /// The steps that are SQL.
    pub fn transactions(&self) -> impl Iterator<Item = &Transaction> {
        self.steps.iter().filter_map(|step| match step {
            Step::Run(transaction) => Some(transaction),
            Step::Forget(_) => None,
        })
    }

    /// How many statements of a part undo what somebody else did.
    pub fn undone(&self, part: &Part) -> usize {
        let of_part = self.transactions().filter(|transaction| transaction.part == *part);
        of_part
            .flat_map(|transaction| &transaction.statements)
            .filter(|statement| statement.undoes)
            .count()
    }

    /// Whether nothing is to be done for a part.
    pub fn agrees(&self, part: &Part) -> bool {
        !self.transactions().any(|transaction| transaction.part == *part)
    }

    pub(crate) fn run(&mut self, part: Part, purpose: impl Into<String>, statements: Vec<Statement>) {
        if !statements.is_empty() {
            self.steps.push(Step::Run(Transaction {
                purpose: purpose.into(),
                part,
                statements,
                apart: false,
            }));
        }
    }
}
