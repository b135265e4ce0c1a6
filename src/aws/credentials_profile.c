/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials_profile: see credentials_profile.h; keys that stand in a profile, and what it says of
 * S3.
 */
#include "aws/credentials_profile.h"

#include <stdlib.h>
#include <string.h>

#include "aws/aws_service.h"
#include "aws/credentials_source.h"
#include "core/mem.h"

/* "~/" is the home directory, as the AWS CLI has it. NULL: HOME is needed and not set. */
static char *file_path(const char *from_environment, const char *fallback)
{
    const char *path = credentials_variable(from_environment);
    if (!path)
        path = fallback;
    if (strncmp(path, "~/", 2) != 0)
        return xstrdup(path);
    const char *home = credentials_variable("HOME");
    return home ? xprintf("%s%s", home, path + 1) : NULL;
}

void profile_close(struct profile *p)
{
    free(p->name);
    for (size_t i = 0; i < N_FILES; i++) {
        free(p->files[i].path);
        free(p->files[i].section);
        ini_free(p->files[i].ini);
    }
}

static void describe_file(const struct shared_file *file, struct buf *out)
{
    if (file->path)
        buf_printf(out, "[%s] in %s%s", file->section, file->path,
                   file->ini ? "" : " (no such file)");
    else
        buf_printf(out, "[%s] in no file, as HOME is not set", file->section);
}

void profile_describe(const struct profile *p, struct buf *out)
{
    describe_file(&p->files[CREDENTIALS_FILE], out);
    buf_str_append(out, " and ");
    describe_file(&p->files[CONFIG_FILE], out);
}

int profile_open(struct profile *p, const char *wanted, const char *from, struct err *err)
{
    const char *name = wanted ? wanted : credentials_variable("AWS_PROFILE");
    *p = (struct profile){.name = xstrdup(name ? name : "default"), .named = name != NULL};
    struct shared_file *keys = &p->files[CREDENTIALS_FILE], *config = &p->files[CONFIG_FILE];
    keys->path = file_path("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials");
    keys->section = xstrdup(p->name);
    config->path = file_path("AWS_CONFIG_FILE", "~/.aws/config");
    config->section = xprintf("profile %s", p->name);
    for (size_t i = 0; i < N_FILES; i++)
        if (p->files[i].path && ini_load(p->files[i].path, &p->files[i].ini, err) < 0)
            return -1;
    /* The default profile is [default]; [profile default] is understood too, and goes before. */
    if (strcmp(p->name, "default") == 0 && !ini_has(config->ini, config->section)) {
        free(config->section);
        config->section = xstrdup(p->name);
    }
    if (!p->named || ini_has(keys->ini, keys->section) || ini_has(config->ini, config->section))
        return 0;
    struct buf places = BUF_INIT(sizeof(err->msg));
    profile_describe(p, &places);
    err_set(err, ERR_CONFIG, "no profile \"%s\" (from %s): looked for %s", p->name,
            wanted ? from : "AWS_PROFILE", buf_str(&places));
    buf_release(&places);
    return -1;
}

static const char *file_get(const struct shared_file *file, const char *key)
{
    return ini_get(file->ini, file->section, NULL, key, NULL);
}

static int keys_in(const struct credentials_lookup *l, size_t i, const char *provider,
                   struct credentials_source **out, struct err *err)
{
    const struct shared_file *file = &l->profile->files[i];
    char *where = xprintf("profile \"%s\" of %s", l->profile->name, file->path ? file->path : "");
    const struct credentials_found found = {
        .provider = provider,
        .where = where,
        .id_name = "aws_access_key_id",
        .id = file_get(file, "aws_access_key_id"),
        .secret_name = "aws_secret_access_key",
        .secret = file_get(file, "aws_secret_access_key"),
        .token_name = "aws_session_token",
        .token = file_get(file, "aws_session_token"),
    };
    int result = credentials_keys(l, &found, out, err);
    if (result == 1)
        (*out)->where = xstrdup(where);
    free(where);
    return result;
}

int credentials_shared_file(const struct credentials_lookup *l, struct credentials_source **out,
                            struct buf *tried, struct err *err)
{
    (void)tried; /* credentials_config_file() speaks for both */
    return keys_in(l, CREDENTIALS_FILE, "shared credentials file", out, err);
}

int credentials_config_file(const struct credentials_lookup *l, struct credentials_source **out,
                            struct buf *tried, struct err *err)
{
    int result = keys_in(l, CONFIG_FILE, "shared config file", out, err);
    if (result == 0)
        profile_describe(l->profile, tried);
    return result;
}

/* A setting of the profile, and where it stands; NULL when there is none. */
static const char *setting(const struct profile *p, const char *parent, const char *key,
                           const char **path, unsigned *line)
{
    for (size_t i = 0; i < N_FILES; i++) {
        const struct shared_file *file = &p->files[i];
        const char *value = ini_get(file->ini, file->section, parent, key, line);
        *path = file->path;
        if (value && *value)
            return value;
    }
    return NULL;
}

const char *profile_get(const struct profile *p, const char *parent, const char *key)
{
    const char *path;
    unsigned line;
    return setting(p, parent, key, &path, &line);
}

int profile_endpoint_url(const struct profile *p, const char *service, const char **out,
                         struct err *err)
{
    const char *path;
    unsigned line;
    const char *services = setting(p, NULL, "services", &path, &line);
    const char *url = NULL;
    if (services) {
        const struct ini *config = p->files[CONFIG_FILE].ini;
        char *section = xprintf("services %s", services);
        bool exists = ini_has(config, section);
        url = ini_get(config, section, service, "endpoint_url", NULL);
        free(section);
        if (!exists)
            return err_set(err, ERR_CONFIG, "%s, line %u: there is no [services %s] in %s", path,
                           line, services,
                           p->files[CONFIG_FILE].path ? p->files[CONFIG_FILE].path : "any file");
    }
    if (!url || !*url)
        url = setting(p, NULL, "endpoint_url", &path, &line);
    *out = url;
    return 0;
}

static bool is_style(const char *s)
{
    return strcmp(s, "auto") == 0 || strcmp(s, "path") == 0 || strcmp(s, "virtual") == 0;
}

static int read_settings(const struct profile *p, struct aws_profile *out, struct err *err)
{
    const char *path;
    unsigned line;
    const char *value = setting(p, NULL, "region", &path, &line);
    if (value && !aws_is_region(value))
        return err_set(err, ERR_CONFIG,
                       "%s, line %u: region is not a region's name, such as eu-west-1", path, line);
    out->region = xstrdup(value);
    value = setting(p, "s3", "addressing_style", &path, &line);
    if (value && !is_style(value))
        return err_set(err, ERR_CONFIG,
                       "%s, line %u: addressing_style is not auto, path or virtual", path, line);
    out->addressing_style = xstrdup(value);
    out->ca_bundle = xstrdup(setting(p, NULL, "ca_bundle", &path, &line));
    const char *url;
    if (profile_endpoint_url(p, "s3", &url, err) < 0)
        return -1;
    out->endpoint_url = xstrdup(url);
    return 0;
}

int aws_profile_load(const char *profile, struct aws_profile *out, struct err *err)
{
    struct profile p;
    struct aws_profile found = {0};
    int result = profile_open(&p, profile, "--profile", err);
    if (result == 0)
        result = read_settings(&p, &found, err);
    profile_close(&p);
    if (result < 0)
        aws_profile_release(&found);
    else
        *out = found;
    return result;
}

void aws_profile_release(struct aws_profile *p)
{
    free(p->region);
    free(p->endpoint_url);
    free(p->ca_bundle);
    free(p->addressing_style);
    *p = (struct aws_profile){0};
}
