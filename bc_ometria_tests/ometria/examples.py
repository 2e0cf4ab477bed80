"""A good record of each type, with every field the contract names, for a test to spoil one thing in."""

from typing import Any


def contact() -> dict[str, Any]:
    return {
        "@type": "contact",
        "@collection": "blue_cherry",
        "@merge": True,
        "id": "00001234",
        "customer_id": "00001234",
        "email": "ann@example.com",
        "phone_number": "+442071838750",
        "prefix": "Dr",
        "firstname": "Ann",
        "middlename": "B",
        "lastname": "Example",
        "gender": "f",
        "date_of_birth": "1990-12-31",
        "country_id": "GB",
        "timezone": "Europe/London",
        "store_ids": ["uk"],
        "timestamp_acquired": "2020-02-29T00:00:00Z",
        "timestamp_subscribed": "2026-11-23T09:05:00+01:00",
        "timestamp_unsubscribed": "2025-01-01T00:00:00.5-05:00",
        "marketing_optin": "EXPLICITLY_OPTEDIN",
        "@force_optin": False,
        "channels": {
            "sms": {
                "allow_marketing": True,
                "allow_transactional": False,
                "dt_updated_marketing": "2026-11-23T09:05:00Z",
                "dt_updated_transactional": "2026-11-23T09:05:00Z",
            }
        },
        "properties": {"loyalty_tier": "gold", "points": 12, "vip": True, "divisions": ["100", "200"]},
        "@add_to_lists": [1],
        "@remove_from_lists": [2],
        "extra_identifiers": ["L-77"],
    }


def order() -> dict[str, Any]:
    return {
        "@type": "order",
        "id": "W000012345",
        "timestamp": "2026-11-23T09:05:00Z",
        "currency": "GBP",
        "grand_total": 104.0,
        "subtotal": 99,
        "discount": 0,
        "shipping": 5.0,
        "tax": 17.33,
        "status": "shipped",
        "is_valid": True,
        "customer": {
            "id": "00001234",
            "email": "ann@example.com",
            "firstname": "Ann",
            "lastname": "Example",
            "phone_number": "+442071838750",
        },
        "lineitems": [line(), {"product_id": "100-ST2", "quantity": 0, "unit_price": 0}],
        "shipping_address": {"city": "Leeds", "state": "Yorks", "postcode": "LS1 1AA", "country_code": "GB"},
        "billing_address": {"country_code": "IE"},
        "channel": "online",
        "store": "uk",
        "payment_method": "card",
        "shipping_method": "standard",
        "coupon_code": "AUTUMN",
        "web_id": "12345",
        "totals": {
            "base": {"currency": "GBP", "grand_total": 104.0},
            "local": {"currency": "EUR", "tax": 20.1},
        },
        "properties": {"division": "100"},
    }


def line() -> dict[str, Any]:
    return {
        "product_id": "100-ST1",
        "variant_id": "100-ST1-RED-M",
        "sku": "5000000000001",
        "quantity": 2,
        "unit_price": 49.5,
        "subtotal": 99.0,
        "tax": 16.5,
        "discount": 0,
        "total": 99.0,
        "quantity_refunded": 0,
        "refunded": 0,
        "is_on_sale": False,
        "variant_options": [{"type": "size", "id": "M", "label": "Medium"}],
        "properties": {"season": "AW26"},
    }


def custom_event() -> dict[str, Any]:
    return {
        "@type": "custom_event",
        "id": "0123456789abcdef0123456789abcdef",
        "event_type": "order_part_shipped",
        "timestamp": "2026-11-23T09:05:00Z",
        "properties": {"order_id": "W000012345", "lines": [{"sku": "5000000000001", "quantity": 1}]},
        "identity_account_id": "00001234",
    }


def product() -> dict[str, Any]:
    return {
        "@type": "product",
        "@merge": True,
        "id": "100-ST1-RED-M",
        "title": "Shirt",
        "price": 49.5,
        "currency": "GBP",
        "sku": "5000000000001",
        "url": "https://shop.example.com/shirt",
        "image_url": "https://shop.example.com/shirt.jpg",
        "is_variant": True,
        "parent_id": "100-ST1",
        "is_active": True,
        "is_in_stock": False,
        "special_price": 39.5,
        "special_price_dt_from": "2026-11-27T00:00:00Z",
        "special_price_dt_to": "2026-11-30T00:00:00Z",
        "attributes": [{"type": "colour", "id": "RED", "label": "Red"}],
        "listings": [
            {
                "store": "uk",
                "title": "Shirt",
                "price": 49.5,
                "currency": "GBP",
                "url": "https://shop.example.com/shirt",
                "image_url": "https://shop.example.com/shirt.jpg",
                "is_active": True,
                "special_price": 39.5,
            }
        ],
    }


RECORDS = {"contact": contact, "order": order, "custom_event": custom_event, "product": product}
