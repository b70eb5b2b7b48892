"""What a path says about its file: whether it judges changes, holds data's shape, builds, tests or tells. Knows no content."""

import re
from functools import lru_cache

from andon.schema.globs import matches

OURS = "andon.toml"
WORKFLOWS = (
    ".github/workflows/**",
    ".github/actions/**",
    "**/action.yml",
    "**/action.yaml",
    ".gitlab-ci.yml",
    ".gitlab/ci/**",
    "**/*.gitlab-ci.yml",
    ".circleci/**",
    "azure-pipelines*.yml",
    ".azure-pipelines/**",
    ".azure/**",
    "Jenkinsfile*",
    "**/Jenkinsfile",
    ".travis.yml",
    ".drone.yml",
    ".drone.star",
    ".buildkite/**",
    "bitbucket-pipelines.yml",
    "appveyor.yml",
    ".appveyor.yml",
    "appveyor/**",
    ".cirrus.yml",
    ".cirrus.star",
    ".ci/**",
    "ci/**",
    ".woodpecker*",
    ".woodpecker/**",
    ".teamcity/**",
    ".tekton/**",
    ".semaphore/**",
    "cloudbuild.yaml",
    ".github/dependabot.yml",
    "renovate.json*",
    ".github/renovate.json*",
    ".builds/**",
    ".zuul.d/**",
    ".zuul.yaml",
    "scripts/ci/**",
    ".forgejo/workflows/**",
    ".gitea/workflows/**",
)
"""What a pipeline runs."""
SCRIPTED = (
    "**/conftest.py",
    "**/noxfile.py",
    "**/sitecustomize.py",
    "**/usercustomize.py",
    "**/*.pth",
    "**/jest.config.*",
    "**/jest.setup.*",
    "**/vitest.config.*",
    "**/vitest.setup.*",
    "**/karma.conf.*",
    "**/playwright.config.*",
    "**/cypress.config.*",
    "**/.mocharc*",
    "**/ava.config.*",
    "**/eslint.config.*",
    "**/.eslintrc.*js",
    "**/protractor.conf.js",
    ".githooks/**",
    ".husky/**",
    "githooks/**",
    "hooks/pre-*",
    "**/Makefile",
    "**/makefile",
    "**/GNUmakefile",
    "**/*.mk",
    "**/justfile",
    "**/Justfile",
    "**/.justfile",
    "**/Taskfile.y*ml",
    "**/Rakefile",
    "**/spec_helper.rb",
    "**/rails_helper.rb",
    "**/test_helper.rb",
    "**/dangerfile*",
    "**/Dangerfile",
    "**/runtests.*",
    "**/run_tests.*",
    "**/runtests",
    "**/run-tests*",
)
"""What judges by code: whatever is added may judge less."""
CONFIGURED = (
    "CODEOWNERS",
    ".github/CODEOWNERS",
    "docs/CODEOWNERS",
    ".gitlab/CODEOWNERS",
    "**/.gitattributes",
    "**/.pre-commit-config.y*ml",
    "**/.pre-commit-hooks.y*ml",
    "**/lefthook.y*ml",
    "**/.lefthook.y*ml",
    "**/pytest.ini",
    "**/.pytest.ini",
    "**/tox.ini",
    "**/setup.cfg",
    "**/.coveragerc",
    "**/coveragerc",
    "**/ruff.toml",
    "**/.ruff.toml",
    "**/.flake8",
    "**/mypy.ini",
    "**/.mypy.ini",
    "**/pyrightconfig.json",
    "**/.pylintrc",
    "**/pylintrc",
    "**/.bandit",
    "**/bandit.y*ml",
    "**/.isort.cfg",
    "**/.nycrc*",
    "**/.c8rc*",
    "**/.eslintrc*",
    "**/.eslintignore",
    "**/tsconfig*.json",
    "**/biome.json*",
    "**/.prettierignore",
    "**/.stylelintrc*",
    "**/tslint.json",
    "**/.jshintrc",
    "**/.golangci.y*ml",
    "**/.golangci.toml",
    "**/.rspec",
    "**/.rubocop*.yml",
    "**/phpunit.xml*",
    "**/phpstan*.neon*",
    "**/psalm.xml*",
    "**/.clippy.toml",
    "**/clippy.toml",
    "**/deny.toml",
    "**/.cargo/audit.toml",
    "**/nextest.toml",
    "**/checkstyle*.xml",
    "**/pmd*.xml",
    "**/spotbugs*.xml",
    "**/detekt*.yml",
    "**/.swiftlint.yml",
    "**/.clang-tidy",
    "**/codecov.y*ml",
    "**/.codecov.y*ml",
    "**/.coveralls.yml",
    "**/sonar-project.properties",
    "**/.semgrep*",
    "**/.semgrep/**",
    "**/.gitleaks.toml",
    "**/.gitleaksignore",
    "**/.secrets.baseline",
    "**/.trivyignore*",
    "**/.snyk",
    "**/osv-scanner.toml",
    "**/.grype.yaml",
    "**/.hadolint.yaml",
    "**/.yamllint*",
    "**/.markdownlint*",
    "**/.importlinter",
    "**/.sarif-baseline*",
    "**/.mergify.yml",
    ".github/settings.yml",
    ".github/branch-protection*",
    ".bazelrc",
    "**/dprint.json",
    "**/.codeclimate.yml",
    "**/.whitesource",
)
"""What judges by settings: its lines are compared."""
MIGRATIONS = (
    "**/migrations/**",
    "**/migration/**",
    "**/migrate/**",
    "**/db/migrate/**",
    "**/alembic/versions/**",
    "**/flyway/**",
    "**/liquibase/**",
    "**/changelog/*.xml",
    "**/*.sql",
    "**/schema.rb",
    "**/structure.sql",
    "**/schema.prisma",
    "**/*.prisma",
    "**/dbmigrations/**",
    "**/upgrades/**/*.sql",
    "**/evolutions/**",
    "**/schema_migrations/**",
    "**/drizzle/**",
    "**/knexfile.*",
)
SCHEMAS = (
    "**/*.proto",
    "**/*.graphql",
    "**/*.graphqls",
    "**/openapi*.y*ml",
    "**/openapi*.json",
    "**/swagger*.y*ml",
    "**/swagger*.json",
    "**/*.avsc",
    "**/*.thrift",
    "**/*.capnp",
    "**/*.fbs",
    "**/*.xsd",
    "**/*.wsdl",
    "**/asyncapi*.y*ml",
    "**/*.schema.json",
    "**/*.smithy",
)
BUILDS = (
    "**/setup.py",
    "**/build.rs",
    "**/binding.gyp",
    "**/configure",
    "**/configure.ac",
    "**/configure.in",
    "**/*.m4",
    "**/Makefile.am",
    "**/Makefile.in",
    "**/CMakeLists.txt",
    "**/*.cmake",
    "**/meson.build",
    "**/meson_options.txt",
    "**/SConstruct",
    "**/BUILD",
    "**/BUILD.bazel",
    "**/*.bzl",
    "**/Dockerfile*",
    "**/*.dockerfile",
    "**/Containerfile*",
    "**/docker-compose*.y*ml",
    "**/compose.y*ml",
    "**/webpack.config.*",
    "**/rollup.config.*",
    "**/vite.config.*",
    "**/gulpfile.*",
    "**/Gruntfile.*",
    "**/babel.config.*",
    "**/.babelrc*",
    "**/autogen.sh",
    "**/bootstrap.sh",
    "**/config.guess",
    "**/config.sub",
    "**/*.gradle",
    "**/*.gradle.kts",
    "**/hatch_build.py",
    "**/_build_backend.py",
    "**/*.podspec",
    "**/*.gemspec",
    "**/*.tf",
    "**/*.tfvars",
    "**/Chart.yaml",
    "**/*.nix",
    "**/Procfile",
    "**/*.service",
    "**/*.spec",
)
TESTS = re.compile(
    r"(^|/)(tests?|testing|testdata|fixtures|spec|specs|__tests__|e2e|t)/|(^|/)(test_[^/]*|[^/]*[._-](test|spec|tests))\.[^/.]+$",
    re.I,
)
WORDS = re.compile(
    r"(^|/)(docs?|documentation|changelog|changes|news|man)(/|$)|\.(md|markdown|rst|adoc|txt|1|3|5|7|8|tex|html?|po|pot|css)$"
    r"|(^|/)(README|LICENSE|COPYING|AUTHORS|CHANGES|CHANGELOG|NEWS|THANKS|HISTORY)[^/]*$",
    re.I,
)
CODE = re.compile(
    r"\.(py|pyi|pyx|pxd|ipynb|js|jsx|mjs|cjs|ts|tsx|mts|cts|vue|svelte|go|rs|java|kt|kts|scala|groovy|rb|erb|php|cs|fs|vb|c|cc|cpp|cxx|h|hh"
    r"|hpp|hxx|inc|m|mm|swift|ex|exs|erl|hs|ml|mli|clj|cljs|lua|pl|pm|t|r|jl|dart|zig|nim|cr|sh|bash|zsh|fish|ps1|bat|sql|s|asm|cu"
    r"|proto|tf|nix|m4|ac|am|in|cmake|y|l|el|vim|sol|v|sv|vhd|xs|json5?|ya?ml|toml|ini|cfg|conf|xml|env|properties|jsp|asp|aspx|cshtml"
    r"|html?|tmpl|tpl|j2|jinja2?|mako|ejs|hbs|twig|haml|slim)$",
    re.I,
)
IMAGES = re.compile(
    r"\.(png|jpe?g|gif|webp|avif|ico|bmp|tiff?|svgz|psd|pdf|woff2?|ttf|otf|eot|mp3|mp4|ogg|wav|webm|mov|icns)$", re.I
)


@lru_cache(maxsize=4_096)
def kind_of_gate(path: str) -> str:
    """`ours`, `workflow`, `script`, `config`, or empty for what judges nothing. Some disks know no upper and lower case."""
    if path.lower() == OURS:
        return "ours"
    for kind, globs in (("workflow", WORKFLOWS), ("script", SCRIPTED), ("config", CONFIGURED)):
        if matches(path, globs) or matches(path.lower(), globs):
            return kind
    return ""


def is_test(path: str) -> bool:
    """Whether the path is that of a test or of what tests need."""
    return bool(TESTS.search(path))


def is_prose(path: str) -> bool:
    """Whether nothing in it is meant to run."""
    return bool(WORDS.search(path)) and not re.search(r"\.(py|js|ts|rb|sh|php|go|rs|c|h|cpp|java)$", path, re.I)


def is_code(path: str) -> bool:
    """Whether it runs, or is read by what runs. What has no ending may."""
    return bool(CODE.search(path)) or "." not in path.rsplit("/", 1)[-1]
