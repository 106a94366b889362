"""FHIR R4B under /fhir: orders in as MedicationRequest, and what the server can do."""
