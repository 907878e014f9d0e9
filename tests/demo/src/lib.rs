//! The main job, played through with real parts.
