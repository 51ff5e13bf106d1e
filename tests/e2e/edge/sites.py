"""nginx configurations for the tests: TLS lines, and one server block with our module."""


def tls(pki, ca=None, server=None):
    server = server or pki.server
    return f"""
        ssl_certificate {server.cert};
        ssl_certificate_key {server.key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_client_certificate {(ca or pki.ca).cert};
        ssl_verify_client on;"""


def module_site(pki, upstream, extra="", locations="", report=True, listen="127.0.0.1:{port}",
                name="localhost", ca=None, root=True):
    """upstream: "unix:/path:" or "127.0.0.1:8000"."""
    refused = f"""
        stargraph_report /refused;
        location = /refused {{
            internal;
            proxy_method GET;
            proxy_pass http://core/edge/refused;
        }}""" if report else ""
    slash = "location / { proxy_pass http://core; }" if root else ""
    return f"""
    upstream core {{ server {upstream}; keepalive 8; }}
    map $http_upgrade $upgrading {{ default upgrade; '' ''; }}
    server {{
        listen {listen} ssl http2;
        server_name {name};
        {tls(pki, ca)}
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $upgrading;
        proxy_buffering off;
        stargraph_client_auth on;
        {extra}
        {slash}
        {locations}
        {refused}
    }}"""
