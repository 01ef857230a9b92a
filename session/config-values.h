/*
 * What one text of the configuration may be. Each checks it and makes the copy that is kept: 0, or -EINVAL
 * (with err in words for the operator) or -ENOMEM. The tables of config-schema.c say which key wants which.
 */
#pragma once

#include "base/err.h"

int config_keep(const char *text, char **ret, struct err *err); /* anything */
int config_read_text(const char *text, char **ret, struct err *err);
int config_read_line(const char *text, char **ret, struct err *err);
int config_read_path(const char *text, char **ret, struct err *err);
int config_read_log_path(const char *text, char **ret, struct err *err);
int config_read_keys_path(const char *text, char **ret, struct err *err);
int config_read_principal(const char *text, char **ret, struct err *err);
int config_read_name(const char *text, char **ret, struct err *err);
int config_read_listen(const char *text, char **ret, struct err *err);
int config_read_control(const char *text, char **ret, struct err *err);
int config_read_plain_user(const char *text, char **ret, struct err *err);
int config_read_log_level(const char *text, char **ret, struct err *err);
int config_read_kind(const char *text, char **ret, struct err *err);
int config_read_forward(const char *text, char **ret, struct err *err);
int config_read_address(const char *text, char **ret, struct err *err);
int config_read_share(const char *text, char **ret, struct err *err);
int config_read_sftp(const char *text, char **ret, struct err *err);
int config_read_sftp_request(const char *text, char **ret, struct err *err);
int config_read_alg_kex(const char *text, char **ret, struct err *err);
int config_read_alg_ciphers(const char *text, char **ret, struct err *err);
int config_read_alg_macs(const char *text, char **ret, struct err *err);
int config_read_alg_host_keys(const char *text, char **ret, struct err *err);
int config_read_alg_user_keys(const char *text, char **ret, struct err *err);
int config_read_glob(const char *text, char **ret, struct err *err);
int config_read_password(const char *text, char **ret, struct err *err);
int config_read_overflow(const char *text, char **ret, struct err *err);
int config_read_network(const char *text, char **ret, struct err *err);
int config_read_totp(const char *text, char **ret, struct err *err);
int config_read_methods(const char *text, char **ret, struct err *err);
int config_read_pattern(const char *text, char **ret, struct err *err);
int config_read_principal_pattern(const char *text, char **ret, struct err *err);
int config_read_not_network(const char *text, char **ret, struct err *err);
int config_read_fingerprint(const char *text, char **ret, struct err *err);
int config_read_home_mode(const char *text, char **ret, struct err *err);
