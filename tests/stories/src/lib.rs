//! What users see, told against the real API server.
