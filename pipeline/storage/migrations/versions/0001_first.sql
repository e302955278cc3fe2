-- Frozen: the tables of the first release. `0001_first.py` puts PostgreSQL's names in place of BLOB and DATETIME.
CREATE TABLE access_log (
  number BIGINT NOT NULL,
  at DATETIME NOT NULL,
  staff VARCHAR(31) NOT NULL,
  os_user VARCHAR(64) NOT NULL,
  action VARCHAR(40) NOT NULL,
  subject VARCHAR(80) NOT NULL,
  result VARCHAR(20) NOT NULL,
  previous VARCHAR(64) NOT NULL,
  digest VARCHAR(64) NOT NULL,
  PRIMARY KEY (number)
);
CREATE TABLE booking_lists (
  clinic VARCHAR(31) NOT NULL,
  list_id VARCHAR(36) NOT NULL,
  taken_at DATETIME NOT NULL,
  rows INTEGER NOT NULL,
  PRIMARY KEY (clinic)
);
CREATE TABLE bookings (
  clinic VARCHAR(31) NOT NULL,
  day DATE NOT NULL,
  patient_hash VARCHAR(64) NOT NULL,
  sealed BLOB NOT NULL,
  list_id VARCHAR(36) NOT NULL,
  taken_at DATETIME NOT NULL,
  PRIMARY KEY (clinic, day, patient_hash)
);
CREATE TABLE certificates (
  clinic VARCHAR(31) NOT NULL,
  number BIGINT NOT NULL,
  copy_id VARCHAR(36) NOT NULL,
  file_id VARCHAR(36) NOT NULL,
  content TEXT NOT NULL,
  previous VARCHAR(64) NOT NULL,
  digest VARCHAR(64) NOT NULL,
  at DATETIME NOT NULL,
  PRIMARY KEY (clinic, number),
  UNIQUE (copy_id)
);
CREATE TABLE clinical_answers (
  file_id VARCHAR(36) NOT NULL,
  clinic VARCHAR(31) NOT NULL,
  kind VARCHAR(12) NOT NULL,
  form VARCHAR(4) NOT NULL,
  person_hash VARCHAR(64),
  patient_hash VARCHAR(64),
  request_id VARCHAR(36),
  month VARCHAR(6),
  processed_at DATETIME,
  PRIMARY KEY (file_id)
);
CREATE INDEX clinical_answers_by_patient ON clinical_answers (clinic, patient_hash);
CREATE INDEX clinical_answers_by_person ON clinical_answers (clinic, person_hash, kind);
CREATE TABLE copies (
  copy_id VARCHAR(36) NOT NULL,
  file_id VARCHAR(36) NOT NULL,
  clinic VARCHAR(31) NOT NULL,
  terminal VARCHAR(31) NOT NULL,
  kind VARCHAR(20) NOT NULL,
  custody VARCHAR(10) NOT NULL,
  reason VARCHAR(40),
  sealed_name BLOB NOT NULL,
  mac VARCHAR(64),
  size BIGINT NOT NULL,
  seen_at DATETIME NOT NULL,
  captured_at DATETIME,
  stored_at DATETIME,
  gone_at DATETIME,
  ordered_until DATETIME,
  orders INTEGER NOT NULL,
  erasure_fault VARCHAR(40),
  PRIMARY KEY (copy_id)
);
CREATE INDEX copies_by_custody ON copies (custody, ordered_until);
CREATE INDEX copies_by_file ON copies (file_id);
CREATE INDEX copies_by_terminal ON copies (clinic, terminal);
CREATE TABLE decisions (
  decision_id VARCHAR(36) NOT NULL,
  file_id VARCHAR(36) NOT NULL,
  result INTEGER NOT NULL,
  clinic VARCHAR(31) NOT NULL,
  action VARCHAR(10) NOT NULL,
  staff VARCHAR(31) NOT NULL,
  sealed_reason BLOB NOT NULL,
  at DATETIME NOT NULL,
  PRIMARY KEY (decision_id)
);
CREATE INDEX decisions_by_file ON decisions (file_id, result);
CREATE TABLE deliveries (
  file_id VARCHAR(36) NOT NULL,
  clinic VARCHAR(31) NOT NULL,
  wanted_revision INTEGER NOT NULL,
  done_revision INTEGER NOT NULL,
  state VARCHAR(10) NOT NULL,
  reason VARCHAR(40),
  receipt VARCHAR(128),
  wanted_at DATETIME NOT NULL,
  done_at DATETIME,
  PRIMARY KEY (file_id)
);
CREATE INDEX deliveries_by_state ON deliveries (state, wanted_at);
CREATE TABLE edges (
  clinic VARCHAR(31) NOT NULL,
  edge VARCHAR(31) NOT NULL,
  last_seen DATETIME NOT NULL,
  report TEXT NOT NULL,
  clock_offset_seconds VARCHAR(20),
  PRIMARY KEY (clinic, edge)
);
CREATE TABLE fetch_runs (
  grant_id VARCHAR(36) NOT NULL,
  result VARCHAR(20) NOT NULL,
  clinic VARCHAR(31) NOT NULL,
  at DATETIME NOT NULL,
  PRIMARY KEY (grant_id, result)
);
CREATE INDEX fetch_runs_by_clinic ON fetch_runs (clinic, at);
CREATE TABLE files (
  file_id VARCHAR(36) NOT NULL,
  clinic VARCHAR(31) NOT NULL,
  terminal VARCHAR(31) NOT NULL,
  kind VARCHAR(20) NOT NULL,
  outcome VARCHAR(12) NOT NULL,
  reason VARCHAR(40),
  revision INTEGER NOT NULL,
  correlation_hash VARCHAR(64),
  suffix VARCHAR(8) NOT NULL,
  sealed_original BLOB,
  original_key VARCHAR(16),
  sealed_record BLOB,
  processed_at DATETIME,
  captured_at DATETIME NOT NULL,
  stored_at DATETIME NOT NULL,
  outcome_at DATETIME,
  settled_at DATETIME,
  PRIMARY KEY (file_id)
);
CREATE INDEX files_by_clinic ON files (clinic, stored_at);
CREATE INDEX files_by_correlation ON files (clinic, correlation_hash);
CREATE INDEX files_open ON files (outcome, settled_at);
CREATE TABLE grants (
  grant_id VARCHAR(36) NOT NULL,
  clinic VARCHAR(31) NOT NULL,
  terminal VARCHAR(31) NOT NULL,
  file_id VARCHAR(36) NOT NULL,
  person_hash VARCHAR(64) NOT NULL,
  patient_hash VARCHAR(64),
  category VARCHAR(20) NOT NULL,
  source VARCHAR(10) NOT NULL,
  granted BOOLEAN NOT NULL,
  consented_at DATETIME NOT NULL,
  until DATETIME,
  may_request BOOLEAN NOT NULL,
  validity VARCHAR(1),
  sealed_person BLOB,
  recorded_at DATETIME NOT NULL,
  PRIMARY KEY (grant_id)
);
CREATE INDEX grants_by_person ON grants (clinic, person_hash, category);
CREATE TABLE heads (
  clinic VARCHAR(31) NOT NULL,
  number BIGINT NOT NULL,
  digest VARCHAR(64) NOT NULL,
  signature VARCHAR(128) NOT NULL,
  at DATETIME NOT NULL,
  PRIMARY KEY (clinic, number)
);
CREATE TABLE hold_answers (
  hold_id VARCHAR(36) NOT NULL,
  copy_id VARCHAR(36) NOT NULL,
  kept BOOLEAN NOT NULL,
  at DATETIME NOT NULL,
  PRIMARY KEY (hold_id, copy_id)
);
CREATE TABLE holds (
  hold_id VARCHAR(36) NOT NULL,
  file_id VARCHAR(36) NOT NULL,
  clinic VARCHAR(31) NOT NULL,
  state VARCHAR(10) NOT NULL,
  staff VARCHAR(31) NOT NULL,
  sealed_reason BLOB NOT NULL,
  set_at DATETIME NOT NULL,
  ordered_until DATETIME,
  released_at DATETIME,
  released_by VARCHAR(31),
  sealed_release_reason BLOB,
  PRIMARY KEY (hold_id)
);
CREATE INDEX holds_by_file ON holds (file_id);
CREATE TABLE inbox (
  consumer VARCHAR(20) NOT NULL,
  event_id VARCHAR(36) NOT NULL,
  at DATETIME NOT NULL,
  PRIMARY KEY (consumer, event_id)
);
CREATE TABLE outbox (
  event_id VARCHAR(36) NOT NULL,
  number BIGINT NOT NULL,
  consumer VARCHAR(20) NOT NULL,
  cause VARCHAR(36) NOT NULL,
  correlation VARCHAR(36) NOT NULL,
  type VARCHAR(30) NOT NULL,
  exchange VARCHAR(30) NOT NULL,
  routing_key VARCHAR(120) NOT NULL,
  batched BOOLEAN NOT NULL,
  body BLOB NOT NULL,
  traceparent VARCHAR(55) NOT NULL,
  at DATETIME NOT NULL,
  left_at DATETIME NOT NULL,
  sent_at DATETIME,
  again_at DATETIME,
  PRIMARY KEY (event_id)
);
CREATE INDEX outbox_again ON outbox (consumer, again_at);
CREATE INDEX outbox_by_cause ON outbox (consumer, cause);
CREATE INDEX outbox_by_correlation ON outbox (correlation);
CREATE INDEX outbox_unsent ON outbox (sent_at, left_at);
CREATE TABLE parked (
  parked_id VARCHAR(36) NOT NULL,
  consumer VARCHAR(20) NOT NULL,
  event_id VARCHAR(36) NOT NULL,
  clinic VARCHAR(31),
  correlation VARCHAR(36),
  type VARCHAR(30) NOT NULL,
  reason VARCHAR(40) NOT NULL,
  state VARCHAR(12) NOT NULL,
  attempts INTEGER NOT NULL,
  routing_key VARCHAR(120) NOT NULL,
  content_type VARCHAR(60) NOT NULL,
  headers TEXT NOT NULL,
  body BLOB NOT NULL,
  parked_at DATETIME NOT NULL,
  ended_at DATETIME,
  staff VARCHAR(31),
  sealed_reason BLOB,
  PRIMARY KEY (parked_id),
  CONSTRAINT parked_once UNIQUE (consumer, event_id)
);
CREATE INDEX parked_by_state ON parked (state, consumer);
CREATE TABLE patient_hashes (
  list_id VARCHAR(36) NOT NULL,
  hash VARCHAR(64) NOT NULL,
  row INTEGER NOT NULL,
  PRIMARY KEY (list_id, hash, row)
);
CREATE TABLE patient_lists (
  list_id VARCHAR(36) NOT NULL,
  clinic VARCHAR(31) NOT NULL,
  taken_at DATETIME NOT NULL,
  parts INTEGER NOT NULL,
  rows INTEGER NOT NULL,
  state VARCHAR(10) NOT NULL,
  reason VARCHAR(40),
  current_at DATETIME,
  PRIMARY KEY (list_id)
);
CREATE INDEX patient_lists_by_clinic ON patient_lists (clinic, state);
CREATE TABLE patient_parts (
  list_id VARCHAR(36) NOT NULL,
  part INTEGER NOT NULL,
  sealed BLOB NOT NULL,
  PRIMARY KEY (list_id, part)
);
CREATE TABLE patients (
  list_id VARCHAR(36) NOT NULL,
  row INTEGER NOT NULL,
  clinic VARCHAR(31) NOT NULL,
  sealed BLOB NOT NULL,
  PRIMARY KEY (list_id, row)
);
CREATE TABLE receipts (
  file_id VARCHAR(36) NOT NULL,
  consumer VARCHAR(20) NOT NULL,
  result VARCHAR(12) NOT NULL,
  at DATETIME NOT NULL,
  PRIMARY KEY (file_id, consumer)
);
CREATE TABLE reference_numbers (
  clinic VARCHAR(31) NOT NULL,
  patient_hash VARCHAR(64) NOT NULL,
  insurance_hash VARCHAR(64) NOT NULL,
  number_hash VARCHAR(64) NOT NULL,
  sealed BLOB NOT NULL,
  state VARCHAR(12) NOT NULL,
  reason VARCHAR(40),
  institution_code VARCHAR(10),
  asked_by VARCHAR(31) NOT NULL,
  inquiry_id VARCHAR(36),
  seen_at DATETIME,
  wanted_at DATETIME,
  not_before DATETIME,
  asked_at DATETIME,
  registered_at DATETIME,
  verified_at DATETIME,
  PRIMARY KEY (clinic, patient_hash, insurance_hash)
);
CREATE INDEX reference_numbers_by_inquiry ON reference_numbers (inquiry_id);
CREATE INDEX reference_numbers_by_insurance ON reference_numbers (clinic, insurance_hash);
CREATE INDEX reference_numbers_by_number ON reference_numbers (clinic, number_hash);
CREATE INDEX reference_numbers_by_state ON reference_numbers (state, clinic);
CREATE TABLE requests (
  request_id VARCHAR(36) NOT NULL,
  clinic VARCHAR(31) NOT NULL,
  terminal VARCHAR(31) NOT NULL,
  kind VARCHAR(20) NOT NULL,
  state VARCHAR(12) NOT NULL,
  reason VARCHAR(40),
  category VARCHAR(20),
  base_hash VARCHAR(64) NOT NULL,
  person_hash VARCHAR(64),
  patient_hash VARCHAR(64),
  sealed_request BLOB NOT NULL,
  sealed_message BLOB,
  grant_id VARCHAR(36),
  treatment_grant_id VARCHAR(36),
  file_category VARCHAR(1),
  answer_file_id VARCHAR(36),
  inquiry_id VARCHAR(36),
  phase VARCHAR(2) NOT NULL,
  attempt INTEGER NOT NULL,
  period VARCHAR(6),
  asked_by VARCHAR(31) NOT NULL,
  wanted_at DATETIME NOT NULL,
  not_before DATETIME,
  window_until DATETIME,
  wanted_until DATETIME,
  withdraw_at DATETIME NOT NULL,
  ordered_until DATETIME,
  placed_at DATETIME,
  ended_at DATETIME,
  PRIMARY KEY (request_id)
);
CREATE INDEX requests_by_base ON requests (clinic, base_hash);
CREATE INDEX requests_by_inquiry ON requests (inquiry_id);
CREATE INDEX requests_by_person ON requests (clinic, person_hash, kind);
CREATE INDEX requests_by_state ON requests (state, ordered_until);
CREATE TABLE results (
  file_id VARCHAR(36) NOT NULL,
  result INTEGER NOT NULL,
  clinic VARCHAR(31) NOT NULL,
  revision INTEGER NOT NULL,
  state VARCHAR(10) NOT NULL,
  verdicts TEXT NOT NULL,
  needs_review BOOLEAN NOT NULL,
  sealed_result BLOB NOT NULL,
  person_hash VARCHAR(64),
  patient_hash VARCHAR(64),
  list_id VARCHAR(36),
  processed_at DATETIME,
  decided_at DATETIME NOT NULL,
  confirmed_by VARCHAR(31),
  confirmed_at DATETIME,
  reference_due BOOLEAN NOT NULL,
  PRIMARY KEY (file_id, result)
);
CREATE INDEX results_by_time ON results (clinic, decided_at);
CREATE INDEX results_open ON results (clinic, state);
CREATE INDEX results_reference_due ON results (clinic, reference_due);
CREATE TABLE schedules (
  clinic VARCHAR(31) NOT NULL,
  name VARCHAR(20) NOT NULL,
  day DATE NOT NULL,
  done_at DATETIME NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (clinic, name, day)
);
CREATE TABLE standings (
  clinic VARCHAR(31) NOT NULL,
  person_hash VARCHAR(64) NOT NULL,
  category VARCHAR(20) NOT NULL,
  source VARCHAR(10) NOT NULL,
  grant_id VARCHAR(36) NOT NULL,
  granted BOOLEAN NOT NULL,
  consented_at DATETIME NOT NULL,
  until DATETIME,
  expiring_at DATETIME,
  expiring_told BOOLEAN NOT NULL,
  expired_told BOOLEAN NOT NULL,
  fetch_at DATETIME,
  PRIMARY KEY (clinic, person_hash, category, source)
);
CREATE INDEX standings_expired ON standings (expired_told, until);
CREATE INDEX standings_expiring ON standings (expiring_told, expiring_at);
CREATE INDEX standings_fetch ON standings (fetch_at);
CREATE TABLE unheld_answers (
  file_id VARCHAR(36) NOT NULL,
  result INTEGER NOT NULL,
  clinic VARCHAR(31) NOT NULL,
  terminal VARCHAR(31) NOT NULL,
  reason VARCHAR(20) NOT NULL,
  granted INTEGER NOT NULL,
  recorded_at DATETIME NOT NULL,
  PRIMARY KEY (file_id, result)
);
CREATE INDEX unheld_answers_by_clinic ON unheld_answers (clinic, recorded_at);
CREATE TABLE vendor_held (
  vendor VARCHAR(31) NOT NULL,
  event_id VARCHAR(36) NOT NULL,
  number BIGINT NOT NULL,
  type VARCHAR(30) NOT NULL,
  reason VARCHAR(40) NOT NULL,
  body BLOB NOT NULL,
  said_at DATETIME NOT NULL,
  held_at DATETIME NOT NULL,
  PRIMARY KEY (vendor, event_id)
);
CREATE INDEX vendor_held_in_order ON vendor_held (vendor, number);
