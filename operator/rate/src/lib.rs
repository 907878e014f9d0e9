//! Usage, prices and cost pools become charges.
//!
//! Pure: no clock, no network, no store. The order in which things are done is in the types: a [`PriceBook`] comes only from a rate card that
//! was checked, a [`Rated`] only from [`Usage`], and what is booked and billed further on only from a [`Rated`].

pub mod amortise;
pub mod book;
pub mod card;
mod carry;
pub mod charge;
mod correct;
mod cost;
mod cost_pool;
mod course;
pub mod currency;
pub mod period;
mod pool;
pub mod price;
pub mod rating;
mod recover;
pub mod refusal;
mod reopen;
pub mod split;
mod tax;
mod timeline;
mod total;
pub mod usage;
mod worked;
pub mod world;

pub use book::PriceBook;
pub use carry::{Carry, Recovery};
pub use charge::{Allocation, AllocationMethod, Basis, Charge, Correction, Line, Pricing, Rated, Saving, Statement};
pub use course::Course;
pub use currency::Currency;
pub use period::{Month, Period};
pub use rating::RateError;
pub use refusal::Refusal;
pub use reopen::{Billed, Reopened};
pub use usage::{Usage, UsageError};
pub use world::World;
