//! Pages as they were reviewed.
