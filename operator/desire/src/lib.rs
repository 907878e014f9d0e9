//! What was asked for and what was observed become a plan.
