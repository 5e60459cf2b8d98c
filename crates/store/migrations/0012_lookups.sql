-- What jobs look for, so that none of them reads what it does not want.
CREATE INDEX app_instance_retaining ON app_instance (key) WHERE retention_days IS NOT NULL;
CREATE INDEX app_instance_deleted ON app_instance (key) WHERE deleted_at IS NOT NULL;
