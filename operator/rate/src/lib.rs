//! Usage, prices and cost pools become charges.
